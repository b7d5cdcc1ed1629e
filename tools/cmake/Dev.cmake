# Developer targets. They need git and the LLVM tools and are skipped without them.
find_program(CLANG_FORMAT clang-format)
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy run-clang-tidy-14)
file(GLOB_RECURSE lorac_c CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
    base/*.[ch] lora/*.[ch] datasets/*.[ch] recipes/*.[ch] tools/*.[ch] tests/*.[ch])
if(CLANG_FORMAT)
    add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${lorac_c}
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endif()
if(RUN_CLANG_TIDY)
    add_custom_target(tidy COMMAND ${RUN_CLANG_TIDY} -quiet -p ${PROJECT_BINARY_DIR}
        -extra-arg=-Wno-unknown-warning-option # of gcc's
        "${PROJECT_SOURCE_DIR}/(base|lora|datasets|recipes|tools|tests)/" VERBATIM)
endif()
