/*
 * predictor.h - a job's model asked one thing at a time: values for the variables of the prompt in,
 * the answer out. A job is opened from a recipe; or all of it from the folders of a model and an
 * adapter.
 *
 * With labels, all of them with their likelihoods; of a head what it gives; otherwise the greedy
 * continuation of the prompt up to the end of the text. Prompts are encoded and cut as in training.
 */
#ifndef LORAC_RECIPES_PREDICTOR_H
#define LORAC_RECIPES_PREDICTOR_H

#include "base/generate.h"
#include "recipes/run/choose.h"
#include "recipes/run/job.h"

LORAC_API_BEGIN

/* What came back. Zeroed = empty; owns its memory (lorac_answer_free). */
struct lorac_answer {
    struct lorac_ranked *ranked; // (K of the job) the likeliest first; NULL without labels
    struct lorac_buf
        text;      // without labels: the answer, without the space that joins it to the prompt
    size_t tokens; // of it; 0: the model ended at once
    enum lorac_finish finish;
};
void lorac_answer_free(struct lorac_answer *a);

struct lorac_predictor;
/* Borrows job and socket (or NULL). The job has its model. A job of texts, and a prompt without a
 * variable, are LORAC_EUSER. `max_tokens`: of a generated answer. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_new(struct lorac_predictor **out,
                                                       const struct lorac_job *j,
                                                       const struct lorac_socket *socket,
                                                       size_t max_tokens, struct lorac_err *err);
/* The same of two folders: a base model and an adapter that lorac trained, which carries the
 * template and the labels; whatever it opens it owns. A prompt has at most 2,048 tokens, or as many
 * as the model reads; one that is longer is LORAC_EUSER. An adapter with a head is refused:
 * what its outputs mean its recipe says alone. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_open(struct lorac_predictor **out,
                                                        const char *model, const char *adapter,
                                                        struct lorac_err *err);
void lorac_predictor_free(struct lorac_predictor *p);
size_t lorac_predictor_labels(const struct lorac_predictor *p); // K; 0: it writes its answers
/* Does it rank its labels (lorac_predictor_ranked)? Not a head that gives any number of labels, a
 * number or tags: those are texts, unless `several` ranks each label for itself. */
bool lorac_predictor_ranks(const struct lorac_predictor *p, bool several);
/* The variable of words is a list of JSON, until it is said otherwise. */
void lorac_predictor_lists(struct lorac_predictor *p, bool list);
const char *lorac_predictor_label(const struct lorac_predictor *p, size_t k);
/* The template's variables, and whether the prompt uses one: the others need no value. */
size_t lorac_predictor_variables(const struct lorac_predictor *p);
const char *lorac_predictor_variable(const struct lorac_predictor *p, size_t i);
bool lorac_predictor_asks(const struct lorac_predictor *p, size_t i);
/* It is a whole conversation, JSON. */
bool lorac_predictor_takes_list(const struct lorac_predictor *p, size_t i);
/* It stands in optional parts of its own alone. */
bool lorac_predictor_may_be_blank(const struct lorac_predictor *p, size_t i);

/* Prompt and answer in one: `values` (n) fill the variables that the prompt uses, in the order in
 * which they stand in it. A blank one is LORAC_EUSER, but in an optional part. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_ask(struct lorac_answer *a,
                                                       struct lorac_predictor *p,
                                                       const char *const *values, size_t n,
                                                       struct lorac_err *err);

/* The prompt for these values (one a variable); *cut: tokens that it lost. One that is too long for
 * data.on_too_long, model.max_length or the model is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_prompt(size_t *cut, struct lorac_predictor *p,
                                                          const struct lorac_cell *values,
                                                          struct lorac_err *err);
const struct lorac_ids *lorac_predictor_ids(const struct lorac_predictor *p); // of that prompt
/* The answer to it. `show` (or NULL) sees generated text, and may stop it: finish is
 * LORAC_FINISH_CALLER then. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_answer(struct lorac_answer *a,
                                                          struct lorac_predictor *p,
                                                          lorac_show_fn *show, void *self,
                                                          struct lorac_err *err);

/* What prompts begin with, as a rule: with labels it is read once for all of them. (Without, and
 * with a head, each run finds what its prompts share.) */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_share(struct lorac_predictor *p,
                                                         const struct lorac_ids *ids,
                                                         struct lorac_err *err);
/* Several prompts are answered together, which takes a small part of the time. Ask for the one that
 * lorac_predictor_prompt() has made last; they are numbered from 0. *added false: there is no room
 * for it beside the others. Then run, and look at each, until the prompts are cleared. `goes_on`
 * (or NULL): LORAC_ESTOP. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_add(bool *added, struct lorac_predictor *p,
                                                       size_t top, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_predictor_run(struct lorac_predictor *p,
                                                       lorac_goes_on_fn *goes_on, void *self,
                                                       struct lorac_err *err);
/* With labels: `top` of the likeliest, with probabilities that are at most 5e-5 of themselves too
 * high (choose.h), or with all of them exact. */
LORAC_MUST_CHECK enum lorac_status lorac_predictor_ranked(const struct lorac_ranked **ranked,
                                                          const struct lorac_predictor *p, size_t i,
                                                          struct lorac_err *err);
/* Without: the text; NULL: it is not whole. `goes_on` may look, too. */
const struct lorac_answer *lorac_predictor_text(struct lorac_predictor *p, size_t i);
void lorac_predictor_clear(struct lorac_predictor *p);

LORAC_API_END

#endif
