/* names.h - inside datasets/: what a message says about a name that does not exist. */
#ifndef LORAC_DATASETS_NAMES_H
#define LORAC_DATASETS_NAMES_H

#include "base/core/buf.h"
#include <stddef.h>

/* Append " (did you mean 'text'?); there are 'text', 'label'" (n names, the first twelve shown). */
void lorac_names_hint(struct lorac_buf *b, const char *name, const char *const *names, size_t n);

#endif
