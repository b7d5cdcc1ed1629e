# The files of tools/serve/page/ as a table of bytes in the program (tools/serve/server.h): index.html is "/", the
# others "/NAME". Where there are none the table is empty.
file(GLOB lorac_page_files CONFIGURE_DEPENDS tools/serve/page/*)
list(FILTER lorac_page_files EXCLUDE REGEX "/README[.]md$")
set(lorac_page ${PROJECT_BINARY_DIR}/page.c)
add_custom_command(OUTPUT ${lorac_page}
    COMMAND ${CMAKE_COMMAND} "-DFILES=${lorac_page_files}" -DOUT=${lorac_page} -P ${PROJECT_SOURCE_DIR}/tools/cmake/PageBytes.cmake
    DEPENDS ${lorac_page_files} ${PROJECT_SOURCE_DIR}/tools/cmake/PageBytes.cmake VERBATIM)
