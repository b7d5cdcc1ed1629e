include(CMakePackageConfigHelpers)
set(dir ${CMAKE_INSTALL_LIBDIR}/cmake/lorac)
install(TARGETS lorac EXPORT lorac-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lorac)
install(DIRECTORY ${PROJECT_BINARY_DIR}/include/lorac DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(NOT BUILD_SHARED_LIBS)           # a static library exports its private link needs
    install(TARGETS lorac_flags lorac_libraries EXPORT lorac-targets)
endif()
install(EXPORT lorac-targets NAMESPACE lorac:: DESTINATION ${dir})
configure_package_config_file(tools/cmake/lorac-config.cmake.in lorac-config.cmake INSTALL_DESTINATION ${dir})
write_basic_package_version_file(lorac-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lorac-config.cmake
              ${PROJECT_BINARY_DIR}/lorac-config-version.cmake DESTINATION ${dir})
set(LORAC_PC_REQUIRES "yaml-0.1 libpcre2-8 libutf8proc")
if(LORAC_OPENBLAS)
    string(APPEND LORAC_PC_REQUIRES " openblas")
    set(LORAC_PC_LIBS "${OpenMP_C_FLAGS}")
endif()
file(RELATIVE_PATH LORAC_PC_UP "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")  # relocatable
configure_file(tools/cmake/lorac.pc.in lorac.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lorac.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
