"""Fast CPU operations for MLX encoders on x86-64 Linux; each works under mx.grad, mx.compile and mx.checkpoint.

Activations are float32 or bfloat16, with any leading dimensions; parameters are float32 or bfloat16 and reach the kernels
in float32. Where the kernels are missing, AVAILABLE is False and every function raises ImportError.
Environment: BERT_KERNELS=off disables them, BERT_KERNELS=require makes their absence an ImportError,
BERT_KERNELS_ISA=avx2|avx512|avx512_bf16|amx masks the instruction set downwards.
"""

from ._load import ADVICE as ADVICE
from ._load import AVAILABLE as AVAILABLE
from ._load import BUILT as BUILT
from ._load import native as _native

activation = _native.activation
adamw = _native.adamw
add_norm = _native.add_norm
attention = _native.attention
bert_embeddings = _native.bert_embeddings
cross_entropy = _native.cross_entropy
dropout = _native.dropout
embedding = _native.embedding
encoder_layer = _native.encoder_layer
fork = _native.fork
has_fast_bf16 = _native.has_fast_bf16
int8_linear = _native.int8_linear
isa = _native.isa
linear = _native.linear
norm = _native.norm
num_threads = _native.num_threads
numeric_embedding = _native.numeric_embedding
pack = _native.pack
pack_int8 = _native.pack_int8
packed_linear = _native.packed_linear
quantized_linear = _native.quantized_linear
sequence_sum = _native.sequence_sum
square_sum = _native.square_sum
