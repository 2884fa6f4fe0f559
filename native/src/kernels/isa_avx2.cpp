// AVX2.
#define BPK_ISA avx2
#define BPK_TABLE avx2_kernels
#define BPK_FAST_BF16 false
#include "kernels/isa_table.h"
