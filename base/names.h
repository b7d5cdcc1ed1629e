/* names.h - names that files have otherwise; see names.c. */
#ifndef LORAC_BASE_NAMES_H
#define LORAC_BASE_NAMES_H

#include "base/model.h"

/* What some files call the tensor `name`; false: it has no other name. */
bool lorac_tensor_other_name(char other[LORAC_NAME_SIZE], const struct lorac_model *m,
                             const char *name);

#endif
