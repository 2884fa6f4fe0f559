// AVX-512 with the bf16 and int8 dot products.
#define BPK_ISA avx512_bf16
#define BPK_TABLE avx512_bf16_kernels
#define BPK_FAST_BF16 true
#include "kernels/isa_table.h"
