# Man pages and completion: the program writes them from its tables. Where it is built for another machine than this
# one, and nothing here runs its programs, there are none.
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "cross-compiling: no man pages and no completion")
    return()
endif()
set(pages ${PROJECT_BINARY_DIR}/pages)
find_program(GZIP gzip)
if(GZIP)
    set(compress COMMAND sh -c "${GZIP} -9n ${pages}/man1/*.1")
endif()
add_custom_command(OUTPUT ${pages}/zsh/_lorac COMMAND ${CMAKE_COMMAND} -E rm -rf ${pages}
    COMMAND lorac_program --pages ${pages} ${compress} DEPENDS lorac_program
    COMMENT "Writing man pages and completion" VERBATIM)
add_custom_target(lorac_pages ALL DEPENDS ${pages}/zsh/_lorac)
install(DIRECTORY ${pages}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(FILES ${pages}/bash/lorac DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# Debian's zsh looks elsewhere for what packages bring
install(CODE "set(zsh site-functions)
    if(EXISTS /etc/debian_version AND CMAKE_INSTALL_PREFIX MATCHES \"/usr$\")
        set(zsh vendor-completions)
    endif()
    file(INSTALL \"${pages}/zsh/_lorac\"
        DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/zsh/\${zsh}\")")
