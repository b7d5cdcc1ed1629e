# Benchmarks, built when asked for: cmake --build --preset release -t bench_step bench_ops
file(GLOB bench_sources CONFIGURE_DEPENDS tools/bench/bench_*.c)
foreach(source ${bench_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/include)
    target_link_libraries(${name} PRIVATE lorac_flags lorac lorac_libraries PkgConfig::openblas)
endforeach()
