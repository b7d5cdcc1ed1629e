/*
 * stand_in.h - what lies where a model's weights should, and how to get at them: files of other
 * programs, downloads that were cut short. Inside base/: each function words a failure that its
 * caller has found.
 */
#ifndef LORAC_BASE_STAND_IN_H
#define LORAC_BASE_STAND_IN_H

#include "base/core/err.h"
#include "base/core/json.h"
#include <stdbool.h>
#include <stddef.h>

/* What n bytes that are no safetensors file are instead, " (a ..., ...)", or "". */
const char *lorac_stand_in_bytes(const unsigned char *bytes, size_t n);

/* The folder `dir` holds neither of the two names: LORAC_EUSER, or LORAC_ENOTSUP, with what it
 * holds instead and the way out. */
LORAC_MUST_CHECK enum lorac_status lorac_stand_in_folder(const char *dir, const char *single,
                                                         const char *index, struct lorac_err *err);

/* The folder `dir` has no `file`, its tokenizer.json: LORAC_EIO, with what it has instead and the
 * way out. */
LORAC_MUST_CHECK enum lorac_status lorac_stand_in_tokenizer(const char *dir, const char *file,
                                                            struct lorac_err *err);

/* LORAC_ENOTSUP where the configuration says that the weights are quantised, with the method's name
 * and the way out. `root` is that of a config.json. */
LORAC_MUST_CHECK enum lorac_status lorac_stand_in_quantised(const struct lorac_json *root,
                                                            struct lorac_err *err);
/* How a tensor of this name and type came to be, as " (...)"; "" where nothing is known. */
const char *lorac_stand_in_tensor(const char *name, const char *dtype);

#endif
