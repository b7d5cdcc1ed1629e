/*
 * loads.h - what a program loads when it needs it, told to packagers' tools: a note in the file
 * (the ELF dlopen metadata of systemd's developers: owner "FDO", type 0x407c0c0a), one a source
 * file.
 */
#ifndef LORAC_BASE_CORE_LOADS_H
#define LORAC_BASE_CORE_LOADS_H

#include <stdint.h>

/* The text of the note: each argument is a string. */
#define LORAC_LOADS_TEXT(feature, description, priority, soname)         \
    "[{\"feature\":\"" feature "\",\"description\":\"" description "\"," \
    "\"priority\":\"" priority "\",\"soname\":[\"" soname "\"]}]"

#ifdef __ELF__
#    define LORAC_LOADS(...)                                                             \
        __attribute__((used, section(".note.dlopen"), aligned(4))) static const struct { \
            uint32_t n_name, n_text, type;                                               \
            char name[4];                                                                \
            char text[(sizeof LORAC_LOADS_TEXT(__VA_ARGS__) + 3) / 4 * 4];               \
        } loads = {4, sizeof LORAC_LOADS_TEXT(__VA_ARGS__), 0x407C0C0A, "FDO",           \
                   LORAC_LOADS_TEXT(__VA_ARGS__)}
#else
#    define LORAC_LOADS(...) _Static_assert(1, "no such notes")
#endif

#endif
