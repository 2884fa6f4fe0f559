// AMX tiles for bf16 and int8, AVX-512 for the rest.
#define BPK_ISA amx
#define BPK_TABLE amx_kernels
#define BPK_FAST_BF16 true
#include "kernels/isa_table.h"
