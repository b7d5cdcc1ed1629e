/* merge_impl.h - what the files of a merge share; inside lora/ only.
 *
 *   merge_parts.c    which tensors it has
 *   merge_values.c   the numbers of one tensor of the result, in panels of rows
 *   merge.c          files: shards, texts, and the comparison
 */
#ifndef LORAC_LORA_MERGE_IMPL_H
#define LORAC_LORA_MERGE_IMPL_H

#include "base/core/file.h"
#include "lora/methods/methods.h"

enum { LORAC_MERGE_NAME = LORAC_MODULE_NAME + 16 };

/* A tensor of the result. */
struct lorac_merge_part {
    const struct lorac_tensor *t;  // of the base: its shape, its values where no copy stands in
    const char *name;              // t's; of a parted pair's second matrix its own
    enum lorac_dtype dtype;        // t's, unless all get another
    const struct lorac_full *full; // what stands in for the values, or NULL
    size_t first;                  // of its floats
    size_t module; // the linear layer whose adapters have a part in it; n_modules: none
    bool bias;     // its bias
};

struct lorac_merger {
    const struct lorac_model *m;
    const struct lorac_stack *s;
    struct lorac_device *dev;
    const struct lorac_merge_options *o; // or NULL
    size_t done;                         // tensors that were written, or read back
    const enum lorac_dtype *dtype;       // of all tensors of the result; NULL: each keeps its own
    bool untied;                         // the base's tied pair becomes two matrices
    char embed_name[LORAC_MERGE_NAME], head_name[LORAC_MERGE_NAME]; // of the pair
    const struct lorac_tensor *twin; // of which only this one is stored; NULL: both are
    bool new_head;             // the files have none of this task: it is put beside their body
    struct lorac_tensor *made; // (n_made) its tensors, without data
    size_t n_made;
    char (*names)[LORAC_NAME_SIZE]; // (n) of the parts of such a result
    struct lorac_saved *saved;      // what the head's adapter says of its labels; NULL: nothing
    struct lorac_merge_part *parts; // (n) the result's tensors, a shard's in the order of its data
    size_t n;
    float *b_panel;        // (rows,R) device
    float *delta;          // (rows,C) device
    float *host, *weights; // (rows,C)
    unsigned char *bytes;  // (rows,C) in the file's type
    /* Of the module at hand: what each adapter makes of it; the left factor of its product, host
     * (B (OC,R), or A^T (C,R) of a weight stored as (C,OC)); and what multiplies the rows and the
     * columns of what is stored, host. NULL: none. */
    struct lorac_merged merged[LORAC_MAX_STACK];
    float *left[LORAC_MAX_STACK], *rows, *columns;
    struct lorac_merge_part part; // at hand
};

/* Write g->parts and what goes with a tied pair; lorac_merge_release() frees them. */
LORAC_MUST_CHECK enum lorac_status lorac_merge_list(struct lorac_merger *g, struct lorac_err *err);

/* Does an adapter change the module's weight, or its bias? */
bool lorac_merge_adapts(const struct lorac_merger *g, size_t module, bool weight);
/* What stands in for a module's weight or, from its float `first` on, its vector; of all adapters
 * at most one has it (lorac_stack_check). */
const struct lorac_full *lorac_merge_full(const struct lorac_merger *g, size_t module, bool vector,
                                          size_t first);
/* The module that a tensor of the files of this name belongs to; n_modules: none. */
size_t lorac_merge_module(const struct lorac_merger *g, const char *name);
/* What becomes of a tensor of the base, under this name. */
struct lorac_merge_part lorac_merge_part_of(const struct lorac_merger *g,
                                            const struct lorac_tensor *t, const char *name);
/* Has it other numbers, or another type, than the base's? */
bool lorac_merge_is_new(const struct lorac_merger *g, const struct lorac_merge_part *p);

/* Memory for the panels. */
LORAC_MUST_CHECK enum lorac_status lorac_merge_reserve(struct lorac_merger *g,
                                                       struct lorac_err *err);
void lorac_merge_release(struct lorac_merger *g);
/* Make W' panel by panel; append it to `out`, or compare it with `same` where out is NULL. */
LORAC_MUST_CHECK enum lorac_status lorac_merge_panels(struct lorac_merger *g,
                                                      const struct lorac_merge_part *p,
                                                      struct lorac_out *out,
                                                      const struct lorac_tensor *same,
                                                      struct lorac_err *err);

#endif
