# What is loaded: by the name that the library gives itself, then by where it was found.
function(lorac_loads source name file soname)
    if(CMAKE_READELF)
        execute_process(COMMAND ${CMAKE_READELF} -d ${file} OUTPUT_VARIABLE dynamic ERROR_QUIET)
        if(dynamic MATCHES "SONAME[^[]*\\[([^]]+)\\]")
            set(soname ${CMAKE_MATCH_1})
        endif()
    endif()
    set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS
        "LORAC_${name}_SONAME=\"${soname}\";LORAC_${name}_FILE=\"${file}\"")
endfunction()
