/*
 * logits.h - what a head says of texts: packed batches of them in, logits out.
 *
 *   add text, add text, ...  ->  run  ->  (rows,K) logits of each  ->  clear, and again
 *
 * Of a text one row is read, which one is the model's to say; of words the first token of each. A
 * number is mean + deviation z of its one logit z (lorac_target_frame).
 *
 * What texts of a batch begin with, up to the first row that is read, runs once where that is worth
 * it (LORAC_SHARE_AUTO), and so there is room for more of them; not of an encoder. One that begins
 * otherwise stands beside them.
 */
#ifndef LORAC_RECIPES_LOGITS_H
#define LORAC_RECIPES_LOGITS_H

#include "base/model.h"
#include "datasets/datasets.h"

LORAC_API_BEGIN

struct lorac_logits;
/* Borrows the model, which has a head, and the socket (or NULL). max_tokens: of a text. */
LORAC_MUST_CHECK enum lorac_status lorac_logits_new(struct lorac_logits **out,
                                                    const struct lorac_model *m,
                                                    const struct lorac_socket *socket,
                                                    size_t max_tokens, struct lorac_err *err);
void lorac_logits_free(struct lorac_logits *l);
size_t lorac_logits_width(const struct lorac_logits *l); // K

/* One more text: n ids; types (n) of a pair, NULL: all 0. `rows`: of words, which a row is read of
 * where at[t] >= 0 (n of them, lorac_passage.words); NULL: of a text. *added false: there is no
 * room beside the others, which is never so of the first. */
LORAC_MUST_CHECK enum lorac_status lorac_logits_add(bool *added, struct lorac_logits *l,
                                                    const int32_t *ids, const int32_t *types,
                                                    size_t n, const int32_t *rows,
                                                    struct lorac_err *err);
/* Logits that are not finite are LORAC_EFORMAT. */
LORAC_MUST_CHECK enum lorac_status lorac_logits_run(struct lorac_logits *l, struct lorac_err *err);
/* (*rows,K) of the i-th text that was added; valid until it is cleared. */
const float *lorac_logits_of(size_t *rows, const struct lorac_logits *l, size_t i);
size_t lorac_logits_count(const struct lorac_logits *l); // texts
void lorac_logits_clear(struct lorac_logits *l);

/* Those of examples from .. end - 1 of a dataset with targets, in their order: `each` is called for
 * every one, with its labels or number (of words with z of those that have a tag). False:
 * LORAC_ESTOP. */
typedef bool lorac_logits_fn(void *self, size_t example, const struct lorac_example *e,
                             const float *z, // (rows,K)
                             size_t rows);
LORAC_MUST_CHECK enum lorac_status lorac_logits_all(struct lorac_logits *l,
                                                    const struct lorac_dataset *set, size_t from,
                                                    size_t end, lorac_logits_fn *each, void *self,
                                                    struct lorac_err *err);

LORAC_API_END

#endif
