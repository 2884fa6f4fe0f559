// Prints the best instruction set that this machine and its system allow, or none.
#include <cstdio>

#include "kernels/isa.h"

int main() { std::puts(bpk::isa_names[bpk::best_isa()]); }
