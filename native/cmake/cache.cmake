# Built modules kept per user, so that a second clone or environment on the same machine does not compile again.
# An entry's name is a hash of everything that goes into the module: the same name means the same module.

# Sets `result` to the entry's folder, or to nothing where BERT_KERNELS_CACHE=off or no folder is known.
function(bpk_cache_entry result isas)
  set(folder "$ENV{BERT_KERNELS_CACHE}")
  # Compared as text: "off" is false to if().
  if(folder STREQUAL "" AND IS_ABSOLUTE "$ENV{XDG_CACHE_HOME}")
    set(folder "$ENV{XDG_CACHE_HOME}/bert-playground/kernels")
  elseif(folder STREQUAL "" AND IS_ABSOLUTE "$ENV{HOME}")
    set(folder "$ENV{HOME}/.cache/bert-playground/kernels")
  endif()
  set(${result} "" PARENT_SCOPE)
  if(NOT IS_ABSOLUTE "${folder}" OR NOT EXISTS "${MLX_LIBRARY_DIRS}/libmlx.so")
    return()
  endif()

  set(root "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/..")
  file(GLOB sources "${root}/CMakeLists.txt" "${root}/cmake/*" "${root}/src/glue/*" "${root}/src/kernels/*")
  set(parts "${isas}")
  foreach(file IN LISTS sources)
    file(SHA256 "${file}" hash)
    file(RELATIVE_PATH name "${root}" "${file}")
    list(APPEND parts "${name}=${hash}")
  endforeach()
  # The version alone would not tell a libmlx that somebody compiled from the published one.
  file(SHA256 "${MLX_LIBRARY_DIRS}/libmlx.so" hash)
  list(APPEND parts "libmlx=${hash}" "nanobind=${nanobind_VERSION}" "python=${Python_VERSION}" "soabi=${Python_SOABI}${SKBUILD_SOABI}")
  execute_process(COMMAND "${CMAKE_CXX_COMPILER}" --version OUTPUT_VARIABLE compiler)
  execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -dumpmachine OUTPUT_VARIABLE machine)
  cmake_host_system_information(RESULT system QUERY DISTRIB_PRETTY_NAME) # its libstdc++ and libgomp are linked
  list(APPEND parts "${CMAKE_CXX_COMPILER}" "${compiler}" "${machine}" "${system}" "${CMAKE_VERSION}" "${CMAKE_BUILD_TYPE}"
    "${CMAKE_CXX_FLAGS}" "${CMAKE_CXX_FLAGS_RELEASE}" "${CMAKE_SHARED_LINKER_FLAGS}" "${CMAKE_MODULE_LINKER_FLAGS}"
    "$ENV{CPATH}" "$ENV{CPLUS_INCLUDE_PATH}" "$ENV{LIBRARY_PATH}")
  string(SHA256 key "${parts}")
  string(SUBSTRING "${key}" 0 32 key)
  set(${result} "${folder}/${key}" PARENT_SCOPE)
endfunction()

# Installs the entry's module and sets `result` to TRUE; FALSE where there is none, or where it is not what was stored.
function(bpk_install_cached result entry)
  set(${result} FALSE PARENT_SCOPE)
  file(GLOB module "${entry}/_ext*.so")
  if(NOT entry OR NOT EXISTS "${entry}/sha256" OR NOT module)
    return()
  endif()
  # A copy, because another build may remove old entries at any time.
  set(copies "${CMAKE_CURRENT_BINARY_DIR}/cached")
  file(COPY ${module} "${entry}/sha256" DESTINATION "${copies}")
  get_filename_component(name "${module}" NAME)
  file(SHA256 "${copies}/${name}" found)
  file(READ "${copies}/sha256" stored)
  if(found STREQUAL stored)
    install(FILES "${copies}/${name}" DESTINATION bert_playground_kernels)
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

# When the module has been installed, stores it under `entry`; a folder that cannot be written is no error.
function(bpk_store target entry)
  install(CODE "
    set(module \"$<TARGET_FILE:${target}>\")
    set(entry \"${entry}\")
    include(\"${CMAKE_CURRENT_FUNCTION_LIST_DIR}/store.cmake\")")
endfunction()
