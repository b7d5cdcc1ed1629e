/* sibling.h - where a file or folder is built before it gets its name. */
#ifndef LORAC_BASE_CORE_SIBLING_H
#define LORAC_BASE_CORE_SIBLING_H

#include "base/core/err.h"

/* `path` without slashes at its end, and "<that>.tmp-PID" beside it; both new (lorac_mem_free). */
LORAC_MUST_CHECK enum lorac_status lorac_sibling(char **to, char **temp, const char *path,
                                                 struct lorac_err *err);
/* What a failure leaves half done goes, a file or a folder with all in it, as far as that can be:
 * the failure is the one to tell. */
void lorac_discard(const char *path);

#endif
