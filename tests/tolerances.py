"""How far a result may be from its reference; never loosened without a note here."""

import mlx.core as mx

# f32 against transformers on a tiny model, relative to the largest output. Two implementations in torch differ by 3e-6.
TINY = 2e-5
# Gradients of a tiny model, relative to the largest value of the same gradient.
GRADIENT = 1e-4
# f32 against transformers on a model of published size, relative to the largest output.
FULL = 1e-4
# The same computation in another layout (packed, padded).
LAYOUT = 1e-5
# bf16 activations against f32, relative to the largest output: 8 bits of mantissa through a few layers.
BF16 = 4e-2
# A derivative against its finite difference in f32.
FINITE_DIFFERENCE = 2e-2
# A loss against its closed form in f64.
LOSS = 1e-5
# A native kernel against its MLX form, relative to the largest value of the same array.
KERNEL = 2e-5
KERNEL_BF16 = 3e-2
# The same in 8 bits: weights rounded per row, activations per token; a gate multiplies two such values.
KERNEL_INT8 = 5e-2
# A loss after 30 steps on the native kernels against MLX's own, in f32: rounding grows with every step.
CURVE = 1e-4
# The same in bf16 against f32.
CURVE_BF16 = 3e-2
# A quantized model against the full weights that it stands for, by type: the same products in another order.
QUANTIZED = {mx.float32: LAYOUT, mx.bfloat16: BF16}
# Logits of an adapted model against peft's, absolute, and of a merged model against the adapted one.
ADAPTER = 1e-5
