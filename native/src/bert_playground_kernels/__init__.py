"""Fast CPU operations for MLX encoders on x86-64 Linux; each works under mx.grad, mx.compile and mx.checkpoint.

Activations are float32 or bfloat16, with any leading dimensions; parameters are float32 or bfloat16 and reach the kernels
in float32. Where the kernels are missing, AVAILABLE is False and every function raises ImportError.
Environment: BERT_KERNELS=off disables them, BERT_KERNELS=require makes their absence an ImportError,
BERT_KERNELS_ISA=avx2|avx512|avx512_bf16|amx masks the instruction set downwards.
"""

from ._load import AVAILABLE as AVAILABLE
from .operations import activation as activation
from .operations import adamw as adamw
from .operations import add_norm as add_norm
from .operations import attention as attention
from .operations import cross_entropy as cross_entropy
from .operations import dropout as dropout
from .operations import embedding as embedding
from .operations import fork as fork
from .operations import has_fast_bf16 as has_fast_bf16
from .operations import int8_linear as int8_linear
from .operations import isa as isa
from .operations import linear as linear
from .operations import norm as norm
from .operations import num_threads as num_threads
from .operations import pack as pack
from .operations import pack_int8 as pack_int8
from .operations import packed_linear as packed_linear
from .operations import quantized_linear as quantized_linear
from .operations import sequence_sum as sequence_sum
from .operations import square_sum as square_sum
