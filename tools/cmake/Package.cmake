# cpack: a Debian package of program, library, headers, man pages and completion. What the program is linked to
# dpkg-shlibdeps finds; OpenBLAS it loads by itself when it is needed.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lorac)
set(CPACK_PACKAGE_VENDOR lorac)
set(CPACK_PACKAGE_CONTACT "lorac <lorac@localhost>" CACHE STRING "maintainer that the package names")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "LoRA fine-tuning of pretrained transformers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Adapts language models in the Hugging Face format to a task with LoRA,
from a YAML recipe and a table of labelled examples, on CPUs and without
Python. Holds the program lorac, the library it is made of with its headers,
and man pages.")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
file(WRITE ${PROJECT_BINARY_DIR}/copyright "lorac ${PROJECT_VERSION}\n\nCopyright: the authors of lorac\n
License: Apache License, Version 2.0; on Debian systems its text is in\n/usr/share/common-licenses/Apache-2.0.\n")
install(FILES ${PROJECT_BINARY_DIR}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(LORAC_OPENBLAS AND NOT LORAC_OPENBLAS_LINK)
    set(CPACK_DEBIAN_PACKAGE_DEPENDS "libopenblas0-openmp | libopenblas0")
endif()
if(LORAC_HAVE_ONEDNN)
    get_filename_component(onednn ${ONEDNN_FILE} REALPATH)
    string(REGEX MATCH "so\\.[0-9]+" onednn ${onednn})
    string(REPLACE "so." libdnnl onednn "${onednn}")
    set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "${onednn}")
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "openmpi-bin, libjansson-dev, libyaml-dev, libpcre2-dev, libutf8proc-dev, libcsv-dev")
include(CPack)
