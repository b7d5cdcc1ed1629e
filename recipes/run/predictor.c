/* predictor.c - see predictor.h. */
#include "recipes/run/predictor.h"

#include "base/core/mem.h"
#include "recipes/run/heads.h"
#include "recipes/run/predictor_impl.h"
#include "recipes/run/reader.h"

#include <string.h>

enum {
    TOGETHER = 64, // answers that are generated at a time,
    ASKED = 256,   // ... of so many: where one ends the next begins
};

/* A prompt whose answer is to be generated. */
struct asked {
    size_t at; // its ids among all
    struct lorac_ids ids;
    struct lorac_answer answer;
    bool read;
};

struct lorac_predictor {
    const struct lorac_job *j;
    struct lorac_template *template;
    struct lorac_conversations *talk; // of a chat; NULL: text
    size_t n;                         // variables
    const char **names;               // (n) borrowed
    size_t n_begin;                   // tokens that the tokenizer puts in front of a prompt
    size_t room;                      // tokens behind a prompt: of the longest label, or one
    size_t max_tokens;                // of a generated answer
    struct lorac_ids ids;             // the prompt
    struct lorac_tree tree;           // of the labels
    struct lorac_chooser *chooser;
    struct lorac_generator *generator; // one of the two
    struct lorac_ids prompts;          // of what is asked together
    struct asked *asked;               // (ASKED)
    struct lorac_generation *together; // (ASKED)
    size_t n_asked;
    struct lorac_whole *whole;   // what it opened itself, or NULL
    struct lorac_reader *reader; // of a head, in the place of chooser and generator; NULL: none
    bool list;                   // its words are a list
};

void lorac_answer_free(struct lorac_answer *a)
{
    lorac_mem_free(a->ranked);
    lorac_buf_free(&a->text);
    *a = (struct lorac_answer){0};
}

static enum lorac_status parse_template(struct lorac_predictor *p, struct lorac_err *err)
{
    const struct lorac_recipe *r = p->j->recipe;
    const struct lorac_table *train = p->j->train.table;
    p->n = r->data.columns.n ? r->data.columns.n : lorac_table_columns(train);
    p->names = lorac_mem_new(p->n, sizeof *p->names);
    if (!p->names) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    for (size_t i = 0; i < p->n; i++) {
        p->names[i] =
            r->data.columns.n ? r->data.columns.at[i].key : lorac_table_column_name(train, i);
    }
    if (lorac_job_has_head(p->j)) { return LORAC_OK; }
    struct lorac_template_options o = {
        .prompt = p->j->texts.prompt,
        .completion = p->j->texts.completion,
        .variables = p->names,
        .n_variables = p->n,
    };
    enum lorac_status st = lorac_template_parse(&p->template, &o, err);
    if (!st && p->j->chat) { st = lorac_job_conversations(&p->talk, p->j, p->names, p->n, err); }
    return st;
}

static enum lorac_status check_variables(const struct lorac_predictor *p, struct lorac_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        if (lorac_predictor_asks(p, i)) { return LORAC_OK; }
    }
    return lorac_fail(
        err, LORAC_EUSER,
        "template.prompt holds no variable: every row of a table would have the same answer");
}

static enum lorac_status open_chooser(struct lorac_predictor *p, const struct lorac_socket *socket,
                                      struct lorac_err *err)
{
    const struct lorac_job *j = p->j;
    struct lorac_labels_options o = {
        .form = p->template,
        .talk = p->talk,
        .n_variables = p->n,
        .labels = (const char *const *)j->labels,
        .K = j->K,
        .append_eos = j->recipe->templates.append_eos,
    };
    while (strcmp(p->names[o.label], j->label_variable) != 0) { // a job with labels has it
        o.label++;
    }
    enum lorac_status st = lorac_labels_tree(&p->tree, j->tokenizer, &o, err);
    if (st) { return st; }
    p->room = p->tree.longest;
    size_t longest = j->recipe->model.max_length > p->room ? j->recipe->model.max_length : p->room;
    struct lorac_chooser_options c = {.max_tokens = longest, .max_answers = j->K};
    return lorac_chooser_new(&p->chooser, j->model, socket, &c, err);
}

enum lorac_status lorac_predictor_new(struct lorac_predictor **out, const struct lorac_job *j,
                                      const struct lorac_socket *socket, size_t max_tokens,
                                      struct lorac_err *err)
{
    *out = NULL;
    if (j->recipe->data.kind == LORAC_RECIPE_DATA_TEXT) {
        return lorac_fail(err, LORAC_EUSER,
                          "the recipe's data is text (data.kind): there is no template that would "
                          "ask anything; lorac %s",
                          lorac_job_objective(j)->masks ? "next guesses what is masked"
                                                        : "generate goes on from a text");
    }
    struct lorac_predictor *p = lorac_mem_new(1, sizeof *p);
    if (!p) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    p->j = j;
    p->room = 1;
    p->max_tokens = max_tokens;
    enum lorac_status st = parse_template(p, err);
    if (!st) { st = lorac_prompt_begin(&p->n_begin, j->tokenizer, err); }
    if (!st && lorac_job_has_head(j)) {
        st = lorac_reader_new(&p->reader, j, p->names, p->n, socket, err);
    } else if (!st && j->K) {
        st = open_chooser(p, socket, err);
    } else if (!st) {
        st = lorac_generator_new(&p->generator, j->model, socket,
                                 j->recipe->model.max_length + max_tokens, TOGETHER, err);
        p->asked = lorac_mem_new(ASKED, sizeof *p->asked);
        p->together = lorac_mem_new(ASKED, sizeof *p->together);
        if (!st && (!p->asked || !p->together)) {
            st = lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
        }
    }
    if (!st) { st = check_variables(p, err); }
    if (st) {
        lorac_predictor_free(p);
        p = NULL;
    }
    *out = p;
    return st;
}

void lorac_predictor_free(struct lorac_predictor *p)
{
    if (!p) { return; }
    lorac_reader_free(p->reader);
    lorac_chooser_free(p->chooser);
    lorac_tree_free(&p->tree);
    lorac_generator_free(p->generator);
    for (size_t i = 0; p->asked && i < ASKED; i++) {
        lorac_ids_free(&p->asked[i].ids);
        lorac_answer_free(&p->asked[i].answer);
    }
    lorac_mem_free(p->asked);
    lorac_mem_free(p->together);
    lorac_ids_free(&p->prompts);
    lorac_template_free(p->template);
    lorac_conversations_close(p->talk);
    lorac_ids_free(&p->ids);
    lorac_mem_free(p->names);
    lorac_whole_close(p->whole);
    lorac_mem_free(p);
}

size_t lorac_predictor_labels(const struct lorac_predictor *p)
{
    return p->j->K;
}

const char *lorac_predictor_label(const struct lorac_predictor *p, size_t k)
{
    return p->j->labels[k];
}

size_t lorac_predictor_variables(const struct lorac_predictor *p)
{
    return p->n;
}

const char *lorac_predictor_variable(const struct lorac_predictor *p, size_t i)
{
    return p->names[i];
}

bool lorac_predictor_ranks(const struct lorac_predictor *p, bool several)
{
    const enum lorac_target target = lorac_job_objective(p->j)->target;
    if (target == LORAC_TARGET_LABELS) { return several; }
    return p->j->K && target != LORAC_TARGET_TAGS;
}

void lorac_predictor_lists(struct lorac_predictor *p, bool list)
{
    p->list = list;
}

bool lorac_predictor_asks(const struct lorac_predictor *p, size_t i)
{
    if (p->reader) { return lorac_template_uses(lorac_reader_template(p->reader), i); }
    return lorac_template_prompt_uses(p->template, i) ||
           (p->talk && lorac_conversations_use(p->talk, i) &&
            !lorac_template_completion_uses(p->template, i));
}

bool lorac_predictor_may_be_blank(const struct lorac_predictor *p, size_t i)
{
    if (p->reader) { return lorac_template_is_optional(lorac_reader_template(p->reader), i); }
    return p->talk ? lorac_conversations_may_be_blank(p->talk, i)
                   : lorac_template_is_optional(p->template, i);
}

bool lorac_predictor_takes_list(const struct lorac_predictor *p, size_t i)
{
    if (p->reader) { return lorac_reader_words(p->reader) == i; }
    return p->talk && lorac_conversations_messages(p->talk) == i;
}

const struct lorac_ids *lorac_predictor_ids(const struct lorac_predictor *p)
{
    return &p->ids;
}

enum lorac_status lorac_predictor_prompt(size_t *cut, struct lorac_predictor *p,
                                         const struct lorac_cell *values, struct lorac_err *err)
{
    const struct lorac_recipe *r = p->j->recipe;
    if (p->reader) { return lorac_reader_text(cut, p->reader, values, p->list, err); }
    size_t max = r->model.max_length;
    size_t limit = p->j->model->config.max_positions;
    *cut = 0;
    p->ids.n = 0;
    size_t keep = max > p->room ? max - p->room : 0;
    enum lorac_status st =
        p->talk ? lorac_conversation_prompt(&p->ids, cut, p->talk, values, keep,
                                            r->data.on_too_long != LORAC_LONG_ERROR, err)
                : lorac_prompt_encode(&p->ids, p->template, p->j->tokenizer, values, err);
    if (st) { return st; }
    if (*cut == SIZE_MAX) {
        return lorac_fail(
            err, LORAC_EUSER, "the user's last words do not fit model.max_length %zu%s", max,
            r->data.on_too_long == LORAC_LONG_ERROR ? " (data.on_too_long: error)" : "");
    }
    if (p->ids.n > keep && r->data.on_too_long == LORAC_LONG_ERROR) {
        return lorac_fail(err, LORAC_EUSER,
                          "a prompt of %zu tokens, at most %zu fit model.max_length %zu "
                          "(data.on_too_long: error)",
                          p->ids.n, keep, max);
    }
    if (p->ids.n > keep) {
        *cut = p->ids.n - keep;
        if (!lorac_prompt_cut(&p->ids, p->ids.n, *cut, p->n_begin, p->j->tokenizer)) {
            return lorac_fail(err, LORAC_EUSER, "no token of the prompt fits model.max_length");
        }
    }
    if (p->ids.n == 0) {
        return lorac_fail(err, LORAC_EUSER, "the prompt has no token, expected at least one");
    }
    if (p->ids.n + p->room > limit) {
        return lorac_fail(err, LORAC_EUSER,
                          "a prompt of %zu tokens and its answer do not fit the %zu that %s reads; "
                          "expected model.max_length %zu or less, found %zu",
                          p->ids.n, limit, p->j->model->dir, limit, max);
    }
    return LORAC_OK;
}

/* The space joins prompt and completion. */
static void drop_space(struct lorac_answer *a)
{
    if (a->text.n && a->text.at[0] == ' ') { memmove(a->text.at, a->text.at + 1, a->text.n--); }
}

static enum lorac_status generate(struct lorac_answer *a, struct lorac_predictor *p,
                                  lorac_show_fn *show, void *self, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = p->max_tokens;
    lorac_buf_clear(&a->text);
    lorac_buf_str(&a->text, "");
    enum lorac_status st = lorac_generate(&ids, &a->text, &a->finish, p->generator, p->j->tokenizer,
                                          p->ids.at, p->ids.n, &o, show, self, err);
    a->tokens = ids.n;
    if (!st) { drop_space(a); }
    lorac_ids_free(&ids);
    return st;
}

/* ---- several prompts ---- */

static enum lorac_status add_text(bool *added, struct lorac_predictor *p, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *added = p->n_asked < ASKED;
    if (!*added) { return LORAC_OK; }
    struct asked *a = &p->asked[p->n_asked];
    a->at = p->prompts.n;
    a->ids.n = 0;
    a->read = false;
    lorac_buf_clear(&a->answer.text);
    lorac_buf_str(&a->answer.text, "");
    for (size_t i = 0; i < p->ids.n && !st; i++) {
        st = lorac_ids_add(&p->prompts, p->ids.at[i], err);
    }
    p->n_asked += !st;
    return st;
}

/* Asked behind each token of each answer. */
struct watched {
    lorac_goes_on_fn *goes_on;
    void *self;
    bool stopped;
};

static bool watch(void *self, const char *text, size_t n)
{
    struct watched *w = self;
    (void)text;
    (void)n;
    w->stopped = w->stopped || (w->goes_on && !w->goes_on(w->self, 0.0));
    return !w->stopped;
}

static enum lorac_status run_texts(struct lorac_predictor *p, lorac_goes_on_fn *goes_on, void *self,
                                   struct lorac_err *err)
{
    struct lorac_sampling o = lorac_sampling_defaults;
    struct watched w = {goes_on, self, false};
    o.max_tokens = p->max_tokens;
    for (size_t i = 0; i < p->n_asked; i++) {
        struct asked *a = &p->asked[i];
        size_t end = i + 1 < p->n_asked ? p->asked[i + 1].at : p->prompts.n;
        p->together[i] = (struct lorac_generation){.prompt = p->prompts.at + a->at,
                                                   .n = end - a->at,
                                                   .o = &o,
                                                   .ids = &a->ids,
                                                   .text = &a->answer.text,
                                                   .finish = LORAC_FINISH_CALLER,
                                                   .show = watch,
                                                   .self = &w};
    }
    enum lorac_status st =
        lorac_generate_all(p->together, p->n_asked, p->generator, p->j->tokenizer, err);
    return !st && w.stopped ? lorac_fail(err, LORAC_ESTOP, "stopped between two tokens") : st;
}

const struct lorac_answer *lorac_predictor_text(struct lorac_predictor *p, size_t i)
{
    if (p->reader) { return lorac_reader_answer(p->reader, i); }
    struct asked *a = &p->asked[i];
    if (p->together[i].finish == LORAC_FINISH_CALLER) { return NULL; }
    if (!a->read) { drop_space(&a->answer); }
    a->read = true;
    a->answer.finish = p->together[i].finish;
    a->answer.tokens = a->ids.n;
    return &a->answer;
}

enum lorac_status lorac_predictor_share(struct lorac_predictor *p, const struct lorac_ids *ids,
                                        struct lorac_err *err)
{
    return p->chooser ? lorac_chooser_share(p->chooser, ids->at, ids->n, err) : LORAC_OK;
}

enum lorac_status lorac_predictor_add(bool *added, struct lorac_predictor *p, size_t top,
                                      struct lorac_err *err)
{
    if (p->reader) { return lorac_reader_add(added, p->reader, err); }
    if (!p->chooser) { return add_text(added, p, err); }
    struct lorac_question q = {.prompt = p->ids.at,
                               .n = p->ids.n,
                               .scored_from = p->ids.n,
                               .tree = &p->tree,
                               .own = LORAC_NO_ANSWER,
                               .top = top,
                               .probability = true};
    return lorac_chooser_add(added, p->chooser, &q, err);
}

enum lorac_status lorac_predictor_run(struct lorac_predictor *p, lorac_goes_on_fn *goes_on,
                                      void *self, struct lorac_err *err)
{
    if (p->reader) { return lorac_reader_run(p->reader, err); }
    return p->chooser ? lorac_chooser_run(p->chooser, goes_on, self, err)
                      : run_texts(p, goes_on, self, err);
}

enum lorac_status lorac_predictor_ranked(const struct lorac_ranked **ranked,
                                         const struct lorac_predictor *p, size_t i,
                                         struct lorac_err *err)
{
    size_t k = 0;
    *ranked =
        p->reader ? lorac_reader_ranked(p->reader, i) : lorac_chooser_answers(&k, p->chooser, i);
    if (*ranked) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "the likelihood of label '%.60s' is not finite: are the weights or the "
                      "adapter damaged?",
                      p->j->labels[k]);
}

void lorac_predictor_clear(struct lorac_predictor *p)
{
    if (p->reader) { lorac_reader_clear(p->reader); }
    if (p->chooser) { lorac_chooser_clear(p->chooser); }
    p->n_asked = p->prompts.n = 0;
}

/* All labels with their likelihoods, also where few are shown: without the others the last of four
 * digits may be another (choose.h). */
static enum lorac_status choose(struct lorac_answer *a, struct lorac_predictor *p,
                                struct lorac_err *err)
{
    const struct lorac_ranked *ranked = NULL;
    bool added = false;
    if (!a->ranked) { a->ranked = lorac_mem_new(p->j->K, sizeof *a->ranked); }
    if (!a->ranked) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an answer"); }
    a->finish = LORAC_FINISH_END;
    lorac_predictor_clear(p);
    enum lorac_status st = lorac_predictor_add(&added, p, p->j->K, err);
    if (!st) { st = lorac_predictor_run(p, NULL, NULL, err); }
    if (!st) { st = lorac_predictor_ranked(&ranked, p, 0, err); }
    if (!st) { memcpy(a->ranked, ranked, p->j->K * sizeof *ranked); }
    return st;
}

/* What a head says: labels with their probabilities, a text, or both of several labels. */
static enum lorac_status read(struct lorac_answer *a, struct lorac_predictor *p,
                              struct lorac_err *err)
{
    bool ranks = lorac_predictor_ranks(p, true);
    enum lorac_status st = LORAC_OK;
    bool added = false;
    lorac_buf_clear(&a->text);
    if (ranks) {
        st = choose(a, p, err);
    } else {
        lorac_predictor_clear(p);
        st = lorac_reader_add(&added, p->reader, err);
        if (!st) { st = lorac_reader_run(p->reader, err); }
    }
    if (st || lorac_predictor_ranks(p, false)) { return st; }
    const struct lorac_answer *answer = lorac_reader_answer(p->reader, 0);
    bool lost = answer->text.no_memory;
    if (!lost) { lorac_buf_str(&a->text, answer->text.at); }
    a->tokens = 1;
    a->finish = LORAC_FINISH_END;
    lost = lost || a->text.no_memory;
    return lost ? lorac_fail(err, LORAC_ENOMEM, "no memory for an answer") : LORAC_OK;
}

enum lorac_status lorac_predictor_answer(struct lorac_answer *a, struct lorac_predictor *p,
                                         lorac_show_fn *show, void *self, struct lorac_err *err)
{
    if (p->reader) { return read(a, p, err); }
    return p->chooser ? choose(a, p, err) : generate(a, p, show, self, err);
}

enum lorac_status lorac_predictor_ask(struct lorac_answer *a, struct lorac_predictor *p,
                                      const char *const *values, size_t n, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t given = 0;
    size_t cut = 0;
    struct lorac_cell *cells = lorac_mem_new(p->n, sizeof *cells);
    if (!cells) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    for (size_t i = 0; i < p->n && !st; i++) {
        cells[i] = (struct lorac_cell){"", 0};
        if (!lorac_predictor_asks(p, i)) { continue; }
        if (given < n) { cells[i] = (struct lorac_cell){values[given], strlen(values[given])}; }
        given++;
        if (lorac_cell_is_blank(&cells[i]) && !lorac_predictor_may_be_blank(p, i)) {
            st = lorac_fail(err, LORAC_EUSER, "the prompt's {%s} is blank", p->names[i]);
        }
    }
    if (!st && given != n) {
        st = lorac_fail(err, LORAC_EUSER, "%zu values for the %zu variables of the prompt", n,
                        given);
    }
    if (!st) { st = lorac_predictor_prompt(&cut, p, cells, err); }
    if (!st) { st = lorac_predictor_answer(a, p, NULL, NULL, err); }
    lorac_mem_free(cells);
    return st;
}

void lorac_predictor_own(struct lorac_predictor *p, struct lorac_whole *w)
{
    p->whole = w;
}
