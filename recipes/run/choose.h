/*
 * choose.h - which of K answers does a model find likeliest behind a prompt?
 *
 * The answers are a tree of tokens (datasets.h). The prompt's last row scores the first token of
 * all of them, the row of a token those that may follow it:
 *
 *   prompt -+- card -- _ -+- arr - ival     five answers: 4 + 4 tokens score at 5 rows of the model
 *           +- age .. |   +- l -- inking    instead of each answer with its own beginning
 *
 * A likelihood only falls on the way down. So a branch whose sum is worse than that of the best
 * whole answer is cut, exactly; of equal answers the first counts, as if all had been scored. What
 * a branch can still hold is at most its own likelihood: the search ends where the open branches
 * hold less than 5e-5 of all. A probability may be too high by that share of itself, so that the
 * last of four printed digits may be one too high. Where it must not be, all answers are wanted.
 * The search goes likeliest first. All questions go on together, one level of each in a batch of
 * packed rows, and keys and values of what was read stay in a cache until nobody needs them: each
 * row of a model is computed once.
 * Prompts that begin alike (How do I ..., Why was my ...) are put behind each other, and each goes
 * on from where the one in front of it goes another way.
 */
#ifndef LORAC_RECIPES_CHOOSE_H
#define LORAC_RECIPES_CHOOSE_H

#include "datasets/datasets.h"
#include "lora/lora.h"

LORAC_API_BEGIN

/* An answer's place among all. */
struct lorac_ranked {
    size_t k;   // the answer
    double nll; // -log of its likelihood behind the prompt, in nats: the end of the text included
    double probability; // its share of the likelihood of all answers; NaN where nobody asked for it
};

#define LORAC_NO_ANSWER SIZE_MAX

struct lorac_question {
    const int32_t *prompt; // (n) n >= 1; copied
    size_t n;
    size_t scored_from;            // tokens scored_from .. n - 1 (>= 1) count in the loss; n: none
    const struct lorac_tree *tree; // borrowed until the answer; NULL: there is only a loss
    size_t own; // the answer whose likelihood counts in the loss, whatever wins; or LORAC_NO_ANSWER
    size_t top; // how many of the likeliest are wanted, >= 1
    bool probability; // theirs, too: at most 5e-5 of itself too high, with `top` K exact
};

struct lorac_chooser;
struct lorac_chooser_options {
    const struct lorac_ids *prefix; // that all prompts go on from, borrowed; NULL: none
    size_t max_tokens;              // of a prompt and its longest answer
    size_t max_answers;             // of a question
    size_t all_tokens; // of all prompts with their own answers, where it is known; 0: many
};
/* Borrows the model and the socket (or NULL). */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_new(struct lorac_chooser **out,
                                                     const struct lorac_model *m,
                                                     const struct lorac_socket *socket,
                                                     const struct lorac_chooser_options *o,
                                                     struct lorac_err *err);
/* Bytes that such a chooser takes. */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_measure(size_t *bytes, const struct lorac_model *m,
                                                         const struct lorac_socket *socket,
                                                         const struct lorac_chooser_options *o,
                                                         struct lorac_err *err);
void lorac_chooser_free(struct lorac_chooser *c);
/* What prompts begin with, as a rule: it is read once, and those that do go on from there. Before
 * the first question, or when they are cleared. */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_share(struct lorac_chooser *c, const int32_t *ids,
                                                       size_t n, struct lorac_err *err);
/* Ask one more question; they are numbered from 0. *added false: there is no room for it beside the
 * others. */
LORAC_MUST_CHECK enum lorac_status lorac_chooser_add(bool *added, struct lorac_chooser *c,
                                                     const struct lorac_question *q,
                                                     struct lorac_err *err);
/* Answer them. `goes_on` (or NULL) is asked between batches, with the share that is done; false:
 * LORAC_ESTOP. */
typedef bool lorac_goes_on_fn(void *self, double done);
LORAC_MUST_CHECK enum lorac_status lorac_chooser_run(struct lorac_chooser *c,
                                                     lorac_goes_on_fn *goes_on, void *self,
                                                     struct lorac_err *err);
/* The likeliest answers of question i, as many as it wanted, the likeliest first, equal ones in the
 * order of the labels. Borrowed until the questions are cleared; NULL: a likelihood is not finite,
 * and *k one of the answers concerned. */
const struct lorac_ranked *lorac_chooser_answers(size_t *k, const struct lorac_chooser *c,
                                                 size_t i);
/* Of its scored tokens, in nats; NaN where one is not finite. */
double lorac_chooser_loss(const struct lorac_chooser *c, size_t i);
void lorac_chooser_clear(struct lorac_chooser *c); // for other questions
void lorac_chooser_renew(
    struct lorac_chooser *c); // the weights have changed: read the prefix again

/* What has run since it was made. */
struct lorac_chooser_work {
    size_t batches, rows, scored; // scored: rows with logits
};
struct lorac_chooser_work lorac_chooser_work(const struct lorac_chooser *c);

/* The labels of a template's completion as a tree. `label`: which of its variables they fill; it
 * has no other. A label without a token is LORAC_EUSER. */
struct lorac_labels_options {
    const struct lorac_template *form;
    const struct lorac_conversations *talk; // of a chat; NULL: text
    size_t n_variables, label;
    const char *const *labels; // (K)
    size_t K;
    bool append_eos;
};
LORAC_MUST_CHECK enum lorac_status lorac_labels_tree(struct lorac_tree *out,
                                                     const struct lorac_tokenizer *t,
                                                     const struct lorac_labels_options *o,
                                                     struct lorac_err *err);

LORAC_API_END

#endif
