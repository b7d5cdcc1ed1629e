/*
 * compare.h - how two sets of tensors differ, and two JSON files.
 *
 * Tensors are matched by name, wherever and in whichever order they lie. Values are compared as
 * numbers: of two types, what they stand for; +0 and -0 are equal, a NaN equals a NaN and is
 * infinitely far from a number.
 */
#ifndef LORAC_BASE_COMPARE_H
#define LORAC_BASE_COMPARE_H

#include "base/checkpoint/safetensors.h"
#include "base/core/buf.h"

LORAC_API_BEGIN

struct lorac_tensor_diff {
    const struct lorac_tensor *a, *b; // borrowed; NULL: only the other one has it
    bool shape, dtype;                // differ
    size_t n;                         // numbers that differ; of equal shapes only
    double largest;                   // |a - b|
};

struct lorac_comparison {
    struct lorac_tensor_diff
        *at; // (n) what differs: only in one, shape, then by falling `largest`, name
    size_t n;
    size_t compared;                       // tensors that both have
    size_t only_a, only_b, shapes, dtypes; // how many
    size_t values;                         // tensors with other values
    double largest;                        // of all
};

/* Compare all tensors; both are read whole. Borrows from both checkpoints. */
LORAC_MUST_CHECK enum lorac_status lorac_checkpoint_compare(struct lorac_comparison *out,
                                                            const struct lorac_checkpoint *a,
                                                            const struct lorac_checkpoint *b,
                                                            struct lorac_err *err);
void lorac_comparison_free(struct lorac_comparison *c); // what it owns, not the struct

/* Append a line "key.subkey: VALUE of a -> VALUE of b" for each key that differs between two JSON
 * files; "absent" where one does not have it. Lists differ as wholes, but those that PEFT writes
 * from a set (target_modules, exclude_modules, modules_to_save) regardless of order. */
LORAC_MUST_CHECK enum lorac_status lorac_json_compare(struct lorac_buf *lines, const char *path_a,
                                                      const char *path_b, struct lorac_err *err);

LORAC_API_END

#endif
