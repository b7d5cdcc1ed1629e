# lorac_libraries: the libraries that liblorac links to. Each is a Debian package (tools/packages.txt).
find_package(PkgConfig REQUIRED)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
find_path(CSV_INCLUDE_DIR csv.h REQUIRED)    # libcsv ships neither a .pc nor a CMake file
find_library(CSV_LIBRARY csv REQUIRED)

add_library(lorac_libraries INTERFACE)
target_include_directories(lorac_libraries INTERFACE $<BUILD_INTERFACE:${CSV_INCLUDE_DIR}>)
target_link_libraries(lorac_libraries INTERFACE PkgConfig::jansson PkgConfig::yaml PkgConfig::pcre2
    PkgConfig::utf8proc ${CSV_LIBRARY} m)
find_package(Threads REQUIRED)
target_link_libraries(lorac_libraries INTERFACE Threads::Threads)
if(LORAC_OPENBLAS)
    pkg_check_modules(openblas REQUIRED IMPORTED_TARGET openblas)
    find_package(OpenMP REQUIRED COMPONENTS C)
    target_link_libraries(lorac_libraries INTERFACE OpenMP::OpenMP_C)
    if(LORAC_OPENBLAS_LINK)
        target_link_libraries(lorac_libraries INTERFACE PkgConfig::openblas)
    else()                       # its header to compile with; base/compute/blas.c loads the library
        target_include_directories(lorac_libraries SYSTEM INTERFACE $<BUILD_INTERFACE:${openblas_INCLUDE_DIRS}>)
    endif()
    set(LORAC_HAVE_ONEDNN OFF)
    if(LORAC_ONEDNN)             # the same: base/compute/onednn.c
        find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.h)
        find_library(ONEDNN_FILE dnnl)
        if(ONEDNN_INCLUDE_DIR AND ONEDNN_FILE)
            set(LORAC_HAVE_ONEDNN ON)
            target_include_directories(lorac_libraries SYSTEM INTERFACE $<BUILD_INTERFACE:${ONEDNN_INCLUDE_DIR}>)
        endif()
    endif()
    if(LORAC_HAVE_ONEDNN OR NOT LORAC_OPENBLAS_LINK)
        target_link_libraries(lorac_libraries INTERFACE ${CMAKE_DL_LIBS})
    endif()
endif()
if(LORAC_TOOLS)
    pkg_check_modules(edit REQUIRED IMPORTED_TARGET libedit) # of the program's sessions alone
    pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd) # of its server alone
endif()
