/* sibling.c - see sibling.h. */
#define _POSIX_C_SOURCE 200809L // getpid
#include "base/core/sibling.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum lorac_status lorac_sibling(char **to, char **temp, const char *path, struct lorac_err *err)
{
    size_t n = strlen(path);
    *to = NULL;
    *temp = NULL;
    while (n > 0 && path[n - 1] == '/') {
        n--;
    }
    if (n == 0) { return lorac_fail(err, LORAC_EUSER, "'%s' is no name for a folder", path); }
    *to = lorac_mem_string(path, n);
    *temp = lorac_mem_new(n + 32, 1);
    if (!*to || !*temp) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    (void)snprintf(*temp, n + 32, "%s.tmp-%ld", *to, (long)getpid());
    return LORAC_OK;
}

void lorac_discard(const char *path)
{
    enum lorac_status st =
        lorac_path_is_dir(path) ? lorac_dir_remove(path, NULL) : lorac_file_remove(path, NULL);
    (void)st; // nobody is left to tell
}
