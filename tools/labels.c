/* labels.c - an answer that is one of the labels which an adapter was trained to choose from; see
 * verbs.h. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

static enum lorac_status read_labels(struct label_answer *a, const struct bench *b,
                                     struct lorac_err *err)
{
    enum lorac_status st = bench_template(&a->saved, b, err);
    if (st) { return st; }
    if (!a->saved) {
        return lorac_fail(err, LORAC_EUSER,
                          "--labels needs an --adapter that lorac trained: it carries its labels");
    }
    if (a->saved->K == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "--labels: the adapter was trained on free text and has no labels; "
                          "without --labels it writes its answer");
    }
    a->K = a->saved->K;
    a->labels = a->saved->labels;
    a->ranked = lorac_mem_new(a->K, sizeof *a->ranked);
    return a->ranked ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for labels");
}

static enum lorac_status choose(struct label_answer *a, struct bench *b,
                                const struct lorac_tree *tree, const struct lorac_ids *prompt,
                                bool all, struct lorac_err *err)
{
    struct lorac_chooser *chooser = NULL;
    struct lorac_chooser_options o = {.max_tokens = prompt->n + tree->longest,
                                      .max_answers = tree->K,
                                      .all_tokens = prompt->n + tree->rows};
    struct lorac_question q = {.prompt = prompt->at,
                               .n = prompt->n,
                               .scored_from = prompt->n,
                               .tree = tree,
                               .own = LORAC_NO_ANSWER,
                               .top = all ? tree->K : 1,
                               .probability = all};
    bool added = false;
    size_t k = 0;
    enum lorac_status st = lorac_chooser_new(&chooser, b->model, bench_socket(b), &o, err);
    if (!st) { st = lorac_chooser_add(&added, chooser, &q, err); }
    if (!st) { st = lorac_chooser_run(chooser, NULL, NULL, err); }
    const struct lorac_ranked *ranked = st ? NULL : lorac_chooser_answers(&k, chooser, 0);
    if (ranked) { memcpy(a->ranked, ranked, q.top * sizeof *ranked); }
    lorac_chooser_free(chooser);
    if (st || ranked) { return st; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "the likelihood of label '%.60s' is not finite: are the weights or the "
                      "adapter damaged?",
                      a->labels[k]);
}

enum lorac_status labels_tree(struct lorac_tree *tree, const struct lorac_saved *s,
                              const struct lorac_chat *chat, const struct lorac_tokenizer *t,
                              struct lorac_err *err)
{
    struct lorac_template *template = NULL;
    struct lorac_conversations *talk = NULL;
    char **names = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_template_variables(&names, &n, s->completion, err);
    // the prompt is there already: the completion goes on from something
    const struct lorac_template_options o = {.prompt = " ",
                                             .completion = s->completion,
                                             .variables = (const char *const *)names,
                                             .n_variables = n};
    if (!st) { st = lorac_template_parse(&template, &o, err); }
    if (!st && n != 1) {
        st = lorac_fail(err, LORAC_EUSER,
                        "labels: the adapter's template.completion has %zu variables, expected "
                        "one: the label",
                        n);
    }
    if (!st && s->chat) {
        int64_t day = 0;
        const struct lorac_conversations_options c = {
            .chat = chat,
            .tokenizer = t,
            .form = {.prompt = "?",
                     .completion = s->completion,
                     .variables = o.variables,
                     .n_variables = n},
            .append_eos = s->append_eos,
            .dated = s->date && lorac_day_parse(&day, s->date),
            .day = day,
        };
        st = lorac_conversations_open(&talk, &c, err);
    }
    struct lorac_labels_options how = {
        .form = template,
        .talk = talk,
        .n_variables = n,
        .labels = s->labels,
        .K = s->K,
        .append_eos = s->append_eos,
    };
    if (!st) { st = lorac_labels_tree(tree, t, &how, err); }
    lorac_conversations_close(talk);
    lorac_template_free(template);
    lorac_mem_free(names);
    return st;
}

static enum lorac_status rank(struct label_answer *a, struct bench *b,
                              const struct lorac_ids *prompt, bool all, struct lorac_err *err)
{
    struct lorac_tree tree = {0};
    struct form form = {0};
    size_t most = b->model->config.max_positions;
    enum lorac_status st = a->saved->chat ? bench_form(&form, b, err) : LORAC_OK;
    if (!st) { st = labels_tree(&tree, a->saved, form.chat, b->tokenizer, err); }
    if (!st && prompt->n + tree.longest > most) {
        st =
            lorac_fail(err, LORAC_EUSER,
                       "the prompt has %zu tokens and the longest label %zu, the context holds %zu",
                       prompt->n, tree.longest, most);
    }
    if (!st) { st = choose(a, b, &tree, prompt, all, err); }
    lorac_tree_free(&tree);
    form_close(&form);
    return st;
}

enum lorac_status bench_labels(struct label_answer *a, struct bench *b,
                               const struct lorac_ids *prompt, bool all, struct lorac_err *err)
{
    *a = (struct label_answer){0};
    enum lorac_status st = read_labels(a, b, err);
    return st ? st : rank(a, b, prompt, all, err);
}

void label_answer_free(struct label_answer *a)
{
    lorac_mem_free(a->saved);
    lorac_mem_free(a->ranked);
    *a = (struct label_answer){0};
}

void out_labels(struct out *j, const char *const *labels, const struct lorac_ranked *ranked,
                size_t top)
{
    out_begin(j, "top", "[]");
    for (size_t i = 0; i < top; i++) {
        out_begin(j, NULL, "{}");
        out_str(j, "label", labels[ranked[i].k]);
        out_real(j, "probability", ranked[i].probability);
        out_real(j, "log_likelihood", -ranked[i].nll);
        out_end(j);
    }
    out_end(j);
}
