/*
 * job.h - what a recipe names, opened: device, model, tokenizer, tables, datasets, labels.
 *
 * Opening order is the order in which mistakes are cheap to find: recipe, tables and templates,
 * then weights.
 */
#ifndef LORAC_RECIPES_JOB_H
#define LORAC_RECIPES_JOB_H

#include "datasets/datasets.h"
#include "lora/lora.h"
#include "recipes/language/recipe.h"
#include "recipes/run/evaluate.h"

LORAC_API_BEGIN

/* One of train, valid, test. */
struct lorac_data {
    struct lorac_table *table; // NULL where it shares the training table, and of texts
    struct lorac_split split;  // of the training table; zeroed: all rows
    struct lorac_dataset *set; // NULL: there is none
};

struct lorac_job {
    const struct lorac_recipe *recipe; // borrowed
    const struct lorac_job *lender;    // whose parts it has where they are the same; NULL: all are
                                       // its own
    struct lorac_device dev;
    struct lorac_tokenizer *tokenizer;
    struct lorac_model *model;
    struct lorac_chat *chat;               // with template: chat; NULL: text
    struct lorac_conversation_texts texts; // prompt and completion, with template: chat also those
                                           // that the recipe leaves to the columns; borrowed
    struct lorac_data train, valid, test;
    char *label_variable; // the one variable of the completion, or NULL: free text or several
    char **labels;        // (K) the answers to choose from; K 0: free text
    size_t K;
    void (*factoring)(void *self, double done); // as lorac_adapter_options' progress; NULL, or
    void *self;                                 // set before lorac_job_adapter()
    char *prompt;        // with a head (heads.h), where the recipe has none: the only column
    float *label_weight; // (K) with a head; NULL: 1
    struct lorac_target_frame frame; // of its datasets
    bool keeps_frame;                // it is that of the checkpoint's own head
    size_t answers; // different ones in the label's column, one more than the most that are told;
                    // 0: not counted
};

enum lorac_job_parts {
    LORAC_JOB_TRAIN = 1 << 0,    // training and validation data
    LORAC_JOB_VALID = 1 << 1,    // validation data
    LORAC_JOB_TEST = 1 << 2,     // test data
    LORAC_JOB_NO_MODEL = 1 << 3, // no weights: plans and checks
};

/* Open the parts asked for; labels are found in any case. */
LORAC_MUST_CHECK enum lorac_status lorac_job_open(struct lorac_job **out,
                                                  const struct lorac_recipe *r, unsigned parts,
                                                  struct lorac_err *err);
/* The same on the device, tokenizer and model of `lender` (or NULL), which stays open for longer;
 * else on a device of `threads` (0: train.threads). */
LORAC_MUST_CHECK enum lorac_status lorac_job_open_on(struct lorac_job **out,
                                                     const struct lorac_recipe *r, unsigned parts,
                                                     size_t threads, const struct lorac_job *lender,
                                                     struct lorac_err *err);
/* A job of `r` with all that `lender` has opened, which stays open for longer. */
LORAC_MUST_CHECK enum lorac_status lorac_job_borrow(struct lorac_job **out,
                                                    const struct lorac_job *lender,
                                                    const struct lorac_recipe *r,
                                                    struct lorac_err *err);
/* The same with an adapter that is not the recipe's adapter.from: its folder's chat template comes
 * before the model's. NULL: there is none. */
LORAC_MUST_CHECK enum lorac_status lorac_job_open_for(struct lorac_job **out,
                                                      const struct lorac_recipe *r,
                                                      const char *adapter, unsigned parts,
                                                      struct lorac_err *err);
/* Fill j->texts from the names of the variables (n). */
LORAC_MUST_CHECK enum lorac_status lorac_job_texts(struct lorac_job *j, const char *const *names,
                                                   size_t n, const char *hint,
                                                   struct lorac_err *err);
/* How a row becomes a conversation, for these variables; j->chat is there. */
LORAC_MUST_CHECK enum lorac_status lorac_job_conversations(struct lorac_conversations **out,
                                                           const struct lorac_job *j,
                                                           const char *const *names, size_t n,
                                                           struct lorac_err *err);
/* How the recipe's tables are written: data.format. */
struct lorac_table_format lorac_job_format(const struct lorac_recipe *r);
/* Tokenise rows (n_rows; NULL: all) of a table as the recipe says, each going on from `shots` (or
 * NULL). */
LORAC_MUST_CHECK enum lorac_status lorac_job_open_set(
    struct lorac_dataset **out, const struct lorac_job *j, const struct lorac_table *table,
    const uint32_t *rows, size_t n_rows, const struct lorac_shots *shots, struct lorac_err *err);
/* What was left out, for a caller that needs it later: the model, and the test data. */
LORAC_MUST_CHECK enum lorac_status lorac_job_open_model(struct lorac_job *j, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_job_open_test(struct lorac_job *j, struct lorac_err *err);
/* LORAC_EFORMAT where an example of `set` holds a token that the tokenizer has and the model has
 * not: by row and token. Tokens that no row uses do no harm: tools add them without resizing the
 * model. The model is open. */
LORAC_MUST_CHECK enum lorac_status lorac_job_check_ids(const struct lorac_job *j,
                                                       const struct lorac_dataset *set,
                                                       struct lorac_err *err);
/* LORAC_EUSER where a row is longer than the model's context: model.max_length may ask for more
 * than the model reads as long as no row is that long. The model is open. */
LORAC_MUST_CHECK enum lorac_status lorac_job_check_length(const struct lorac_job *j,
                                                          struct lorac_err *err);
/* Do all ranks work on the same? Each has read its own files, on a machine of its own perhaps. The
 * program, the recipe's keys (but for paths and what changes no number), the base, the rows of all
 * datasets that are open, and of `set` and the content of `a` where they are not NULL: what differs
 * is LORAC_EUSER and names the rank and its host. `st`, `err`: as in ranks.h; j may be NULL where
 * it has failed. */
LORAC_MUST_CHECK enum lorac_status lorac_job_alike(const struct lorac_job *j,
                                                   const struct lorac_dataset *set,
                                                   const struct lorac_adapter *a,
                                                   struct lorac_ranks *ranks, enum lorac_status st,
                                                   struct lorac_err *err);
void lorac_job_close(struct lorac_job *j);

/* Are the answers of all labels compared: is accuracy or macro F1 among the metrics, and are there
 * labels? */
bool lorac_compares_labels(const struct lorac_job *j, unsigned metrics);
/* Why one of the metrics is not measured although it was asked for; NULL: all are. */
const char *lorac_unmeasured(const struct lorac_job *j, unsigned metrics);
/* How one of the job's datasets is evaluated. Borrows socket (or NULL) and job. */
struct lorac_evaluator_options lorac_job_evaluation(const struct lorac_job *j,
                                                    const struct lorac_dataset *set,
                                                    unsigned metrics,
                                                    const struct lorac_socket *socket);
/* lorac_evaluator_new() of that, after lorac_job_check_length(). */
LORAC_MUST_CHECK enum lorac_status lorac_job_evaluator(
    struct lorac_evaluator **out, const struct lorac_job *j, const struct lorac_dataset *set,
    unsigned metrics, const struct lorac_socket *socket, struct lorac_err *err);

/* The adapter options that the recipe asks for, with `layers` resolved for a model of L layers into
 * `list` (L). The result borrows from the recipe and `list`. */
struct lorac_adapter_options lorac_job_adapter_options(const struct lorac_recipe *r, size_t L,
                                                       size_t *list);
/* A fresh adapter as the recipe says, or the one that adapter.from names. */
LORAC_MUST_CHECK enum lorac_status lorac_job_adapter(struct lorac_adapter **out,
                                                     const struct lorac_job *j,
                                                     struct lorac_err *err);
/* Its modules and shapes, without values (the one of adapter.from comes with them). */
LORAC_MUST_CHECK enum lorac_status lorac_job_adapter_outline(struct lorac_adapter **out,
                                                             const struct lorac_job *j,
                                                             struct lorac_err *err);

LORAC_API_END

#endif
