/*
 * choose.h - which of K labels does a model find likeliest behind a prompt? The prompt runs once
 * and every label goes on from it, as an evaluation's accuracy has it: predictions and answers kept
 * to labels.
 */
#ifndef LORAC_RECIPES_CHOOSE_H
#define LORAC_RECIPES_CHOOSE_H

#include "datasets/datasets.h"
#include "lora/lora.h"

LORAC_API_BEGIN

/* A label's place among all. */
struct lorac_ranked {
    size_t k;   // the label
    double nll; // -log of its likelihood behind the prompt, in nats: the end of the text included
    double probability; // its share of the likelihood of all labels
};

struct lorac_chooser;
struct lorac_chooser_options {
    const struct lorac_template *form; // whose completion the labels fill
    size_t n_variables, label;         // of the template, and which of them they fill
    const char *const *labels;         // (K)
    size_t K;
    bool append_eos;
    size_t max_prompt; // tokens
};
/* Borrows the model, the socket (or NULL), and the labels. A label without a token is LORAC_EUSER.
 */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_new(
    struct lorac_chooser **out, const struct lorac_model *m, const struct lorac_socket *socket,
    const struct lorac_tokenizer *t, const struct lorac_chooser_options *o, struct lorac_err *err);
void lorac_chooser_free(struct lorac_chooser *c);
size_t lorac_chooser_room(const struct lorac_chooser *c); // tokens of the longest label
/* ranked (K) written, the likeliest first, equal ones in the order of the labels. A likelihood that
 * is not finite is LORAC_EFORMAT. */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_ask(struct lorac_ranked *ranked,
                                                     struct lorac_chooser *c,
                                                     const struct lorac_ids *prompt,
                                                     struct lorac_err *err);

LORAC_API_END

#endif
