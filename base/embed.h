/*
 * embed.h - one vector a text: what leaves a model's last layer, pooled over the text's tokens.
 *
 *   mean   over all tokens, those included that the tokenizer puts in front and behind
 *   cls    of the first token
 *   last   of the last token
 *
 * How a folder means its vectors is read as sentence-transformers writes it: modules.json,
 * 1_Pooling/config.json, sentence_bert_config.json, config_sentence_transformers.json. What would
 * make other vectors and isn't understood (a dense layer behind the pooling) is refused by name.
 * Texts of such a folder are embedded without white space around them, as there.
 */
#ifndef LORAC_BASE_EMBED_H
#define LORAC_BASE_EMBED_H

#include "base/model.h"
#include "base/tokenizer/tokenizer.h"

LORAC_API_BEGIN

enum lorac_pooling { LORAC_POOL_MEAN, LORAC_POOL_CLS, LORAC_POOL_LAST };
const char *lorac_pooling_name(size_t pooling); // "mean"; NULL after the last

/* How texts become vectors. Owns `prompt` (lorac_embedding_release). */
struct lorac_embedding {
    enum lorac_pooling pooling;
    bool normalize;    // to length 1
    size_t max_tokens; // of a text, with what stands around it; a longer one loses its end
    char *prompt;      // stands in front of each text, NULL: nothing does
    bool stated;       // the folder says how its vectors are pooled
    bool lower;        // texts are lower-cased first: so must its tokenizer do
};
/* As the model's folder says; else the mean, as many tokens as the model reads. Normalised in any
 * case: that is the caller's to change. */
LORAC_MUST_CHECK enum lorac_status lorac_embedding_read(struct lorac_embedding *out,
                                                        const struct lorac_model *m,
                                                        struct lorac_err *err);
void lorac_embedding_release(struct lorac_embedding *how);

/* A model, opened for LORAC_TASK_BODY, that is given texts, some at a time. Borrows all of them.
 * LORAC_ENOTSUP: texts are to be lower-cased for a tokenizer that tells cases apart. */
struct lorac_embedder;
LORAC_MUST_CHECK enum lorac_status lorac_embedder_new(struct lorac_embedder **out,
                                                      const struct lorac_model *m,
                                                      const struct lorac_tokenizer *t,
                                                      const struct lorac_socket *socket, // or NULL
                                                      const struct lorac_embedding *how,
                                                      struct lorac_err *err);
void lorac_embedder_free(struct lorac_embedder *e);
/* Another text. *added false: there is no room for it beside the others; run those first. *cut:
 * tokens that it lost. A text of no token is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_embedder_add(bool *added, size_t *cut,
                                                      struct lorac_embedder *e, const char *text,
                                                      size_t n, struct lorac_err *err);
/* The same of ids, n >= 1, as they are. */
bool lorac_embedder_add_ids(struct lorac_embedder *e, const int32_t *ids, size_t n);
/* The vectors of the texts that were added (n,C), and none is left. */
LORAC_MUST_CHECK enum lorac_status lorac_embedder_run(float *out, struct lorac_embedder *e,
                                                      struct lorac_err *err);
size_t lorac_embedder_texts(const struct lorac_embedder *e); // n: that were added,
size_t lorac_embedder_most(const struct lorac_embedder *e);  // and how many may be

LORAC_API_END

#endif
