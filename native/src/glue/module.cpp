// The Python module `_ext`; the package's __init__.py gives these functions their signatures and documentation.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <omp.h>

#include "glue/ops.h"
#include "mlx/version.h"

namespace nb = nanobind;

NB_MODULE(_ext, module) {
  using namespace bpk::glue;
  nb::module_::import_("mlx.core");  // registers mx.array with nanobind

  // The version this file was compiled against; the package refuses any other at import.
  module.attr("mlx_version") = std::to_string(MLX_VERSION_MAJOR) + "." + std::to_string(MLX_VERSION_MINOR) + "." +
                               std::to_string(MLX_VERSION_PATCH);
  module.def("isa", []() -> std::optional<std::string> {
    const bpk::Kernels* selected = bpk::select_kernels();
    return selected ? std::optional<std::string>(selected->name) : std::nullopt;
  });
  nb::list built;
  for (const char* isa : {"avx2", "avx512", "avx512_bf16", "amx"})
    if (bpk::has_kernels(isa)) built.append(isa);
  module.attr("built") = nb::tuple(built);
  module.attr("wanted") = bpk::wanted_kernels();
  module.def("has_fast_bf16", [] { return kernels().fast_bf16; });
  module.def("num_threads", [] { return omp_get_max_threads(); });

  module.def("linear", &linear);
  module.def("pack", &pack);
  module.def("packed_linear", &packed_linear);
  module.def("norm", &norm);
  module.def("add_norm", &add_norm);
  module.def("attention", &attention);
  module.def("activation", &activation);
  module.def("dropout", &dropout);
  module.def("fork", &fork_array);
  module.def("embedding", &embedding);
  module.def("sequence_sum", &sequence_sum);
  module.def("cross_entropy", &cross_entropy);
  module.def("adamw", &adamw);
  module.def("square_sum", &square_sum);
  module.def("quantized_linear", &quantized_linear);
  module.def("pack_int8", &pack_int8);
  module.def("int8_linear", &int8_linear);
}
