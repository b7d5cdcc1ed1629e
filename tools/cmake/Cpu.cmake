# The cpu backend. kernels*.c are compiled once per instruction set; cpu.c picks one at run time.
target_sources(lorac_objects PRIVATE base/compute/blas.c base/compute/cpu.c base/compute/cpu_matmul.c
    base/compute/cpu_blocks.c base/compute/cpu_int8.c base/compute/cpu_bf16.c base/compute/cpu_attention.c
    base/compute/cpu_attention_back.c)
target_compile_definitions(lorac_objects PRIVATE LORAC_HAVE_OPENBLAS)
if(LORAC_OPENBLAS_LINK)
    target_compile_definitions(lorac_objects PRIVATE LORAC_OPENBLAS_LINK)
else()
    find_library(OPENBLAS_FILE NAMES ${openblas_LIBRARIES} openblas PATHS ${openblas_LIBRARY_DIRS} NO_DEFAULT_PATH)
    find_library(OPENBLAS_FILE NAMES ${openblas_LIBRARIES} openblas REQUIRED)
    lorac_loads(base/compute/blas.c OPENBLAS ${OPENBLAS_FILE} libopenblas.so.0)
endif()
if(LORAC_HAVE_ONEDNN)
    target_sources(lorac_objects PRIVATE base/compute/onednn.c)
    target_compile_definitions(lorac_objects PRIVATE LORAC_HAVE_ONEDNN)
    lorac_loads(base/compute/onednn.c ONEDNN ${ONEDNN_FILE} libdnnl.so.2)
endif()
set(lorac_kernel_sources base/compute/kernels.c base/compute/kernels_products.c
    base/compute/kernels_attention.c)
# -O3 also in Debug: these loops are the program's time; fused multiply-add where the ISA has it; no errno
# from sqrtf and no floating-point traps, which would forbid vectors: results stay IEEE. Options of a source
# come after those of its target, so they win over lorac_flags. clang fuses within an expression alone: across them
# it would or would not, as a loop's shape has it, and a row's bits would depend on its neighbours (by_row).
set(lorac_fuse fast)
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    set(lorac_fuse on)
endif()
set_source_files_properties(${lorac_kernel_sources} PROPERTIES COMPILE_OPTIONS
    "-O3;-ffp-contract=${lorac_fuse};-fno-math-errno;-fno-trapping-math;-Wno-psabi")
# Without contraction: an integer must be rounded alike everywhere.
set_source_files_properties(base/compute/kernels_int8.c PROPERTIES COMPILE_OPTIONS
    "-O3;-fno-math-errno;-fno-trapping-math;-Wno-psabi")
set(lorac_kernel_objects "")
function(lorac_kernels isa sources) # and the options that choose the instructions
    add_library(lorac_kernels_${isa} OBJECT ${sources})
    target_include_directories(lorac_kernels_${isa} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_features(lorac_kernels_${isa} PRIVATE c_std_17)
    target_compile_definitions(lorac_kernels_${isa} PRIVATE LORAC_ISA=${isa})
    target_link_libraries(lorac_kernels_${isa} PRIVATE lorac_flags)
    target_compile_options(lorac_kernels_${isa} PRIVATE ${ARGN})
    set_target_properties(lorac_kernels_${isa} PROPERTIES C_VISIBILITY_PRESET hidden
        POSITION_INDEPENDENT_CODE ON)
    set(lorac_kernel_objects ${lorac_kernel_objects} $<TARGET_OBJECTS:lorac_kernels_${isa}> PARENT_SCOPE)
endfunction()
set(int8 base/compute/kernels_int8.c)
lorac_kernels(generic "${lorac_kernel_sources};${int8}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
    lorac_kernels(avx2 "${lorac_kernel_sources};${int8}" -mavx2 -mfma -mf16c)
    lorac_kernels(avxvnni "${int8}" -mavx2 -mfma -mf16c -mavxvnni)
    lorac_kernels(avx512 "${lorac_kernel_sources}" ${avx512})
    lorac_kernels(avx512vnni "${int8}" ${avx512} -mavx512vnni)
    lorac_kernels(amx "${int8}" ${avx512} -mavx512vnni -mamx-tile -mamx-int8)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    lorac_kernels(dotprod "${int8}" -march=armv8.2-a+dotprod)
endif()
