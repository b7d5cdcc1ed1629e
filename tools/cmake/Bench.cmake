# lorac_bench: what lorac reaches of what this machine can do (tools/bench/README.md). It measures OpenBLAS as the
# library has loaded it, and oneDNN where it is found.
file(GLOB bench_sources CONFIGURE_DEPENDS tools/bench/*.c)
add_executable(lorac_bench ${bench_sources})
set_target_properties(lorac_bench PROPERTIES C_EXTENSIONS OFF)
target_link_libraries(lorac_bench PRIVATE lorac_flags lorac_verbs)
if(LORAC_OPENBLAS_LINK)
    target_compile_definitions(lorac_bench PRIVATE LORAC_OPENBLAS_LINK)
else()
    get_source_file_property(loads ${PROJECT_SOURCE_DIR}/base/compute/blas.c COMPILE_DEFINITIONS) # the name that the library loads
    set_source_files_properties(tools/bench/blas.c PROPERTIES COMPILE_DEFINITIONS "${loads}")
endif()
find_path(DNNL_INCLUDE_DIR dnnl.h)
find_library(DNNL_LIBRARY dnnl)
if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
    target_compile_definitions(lorac_bench PRIVATE LORAC_BENCH_DNNL)
    target_include_directories(lorac_bench SYSTEM PRIVATE ${DNNL_INCLUDE_DIR})
    target_link_libraries(lorac_bench PRIVATE ${DNNL_LIBRARY})
endif()
