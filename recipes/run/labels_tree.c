/* labels_tree.c - a template's completions as a tree; see choose.h. */
#include "base/core/mem.h"
#include "recipes/run/choose.h"

#include <string.h>

enum lorac_status lorac_labels_tree(struct lorac_tree *out, const struct lorac_tokenizer *t,
                                    const struct lorac_labels_options *o, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_cell *values = lorac_mem_new(o->n_variables, sizeof *values);
    size_t *end = lorac_mem_new(o->K, sizeof *end);
    struct lorac_ids ids = {0};
    if (!values || !end) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    for (size_t i = 0; i < o->n_variables && !st; i++) {
        values[i] = (struct lorac_cell){"", 0};
    }
    for (size_t k = 0; k < o->K && !st; k++) {
        values[o->label] = (struct lorac_cell){o->labels[k], strlen(o->labels[k])};
        st = o->talk ? lorac_conversation_answer(&ids, o->talk, values, err)
                     : lorac_completion_encode(&ids, o->form, t, values, o->append_eos, err);
        end[k] = ids.n;
        if (!st && ids.n == (k ? end[k - 1] : 0)) {
            st = lorac_fail(err, LORAC_EUSER, "label '%.60s' has no tokens, expected at least one",
                            o->labels[k]);
        }
    }
    if (!st) { st = lorac_tree_make(out, ids.at, end, o->K, err); }
    lorac_ids_free(&ids);
    lorac_mem_free(end);
    lorac_mem_free(values);
    return st;
}
