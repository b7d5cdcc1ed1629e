/* labels.c - an answer that is one of the labels which an adapter was trained to choose from; see
 * verbs.h. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

/* The template that adapters carry, as far as an answer needs it. */
struct saved {
    struct lorac_json root;
    const char *completion;
    bool eos;
};

static enum lorac_status read_saved(struct saved *s, const struct bench *b, struct lorac_err *err)
{
    const char *json = NULL;
    enum lorac_status st = bench_template(&json, b, err);
    if (!st && !json) {
        st = lorac_fail(err, LORAC_EUSER,
                        "--labels needs an --adapter that lorac trained: it carries its labels");
    }
    if (!st) { st = lorac_json_parse(&s->root, json, strlen(json), "lorac.template", err); }
    if (!st) { st = lorac_json_string(&s->completion, &s->root, "completion", true, err); }
    if (!st) { st = lorac_json_bool(&s->eos, &s->root, "append_eos", true, err); }
    return st;
}

static enum lorac_status read_labels(struct label_answer *a, const struct saved *s,
                                     struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(&s->root, "labels");
    size_t K = list.value && json_is_array(list.value) ? json_array_size(list.value) : 0;
    if (K == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "--labels: the adapter was trained on free text and has no labels; "
                          "without --labels it writes its answer");
    }
    a->labels = lorac_mem_new(K, sizeof *a->labels);
    a->ranked = lorac_mem_new(K, sizeof *a->ranked);
    if (!a->labels || !a->ranked) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    for (size_t k = 0; k < K; k++) {
        struct lorac_json at = lorac_json_at(&list, k);
        const char *label = json_string_value(at.value);
        if (!label) { return lorac_json_fail(&at, "a text", err); }
        a->labels[a->K] = lorac_mem_string(label, strlen(label));
        if (!a->labels[a->K]) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
        a->K++;
    }
    return LORAC_OK;
}

static enum lorac_status rank(struct label_answer *a, struct bench *b, const struct saved *s,
                              const struct lorac_ids *prompt, struct lorac_err *err)
{
    struct lorac_template *template = NULL;
    struct lorac_chooser *chooser = NULL;
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
                        "--labels: the adapter's template.completion has %zu variables, expected "
                        "one: the label",
                        n);
    }
    struct lorac_chooser_options how = {
        .form = template,
        .n_variables = n,
        .labels = (const char *const *)a->labels,
        .K = a->K,
        .append_eos = s->eos,
        .max_prompt = prompt->n,
    };
    if (!st) {
        st = lorac_chooser_new(&chooser, b->model, bench_socket(b), b->tokenizer, &how, err);
    }
    size_t most = b->model->config.max_positions;
    if (!st && prompt->n + lorac_chooser_room(chooser) > most) {
        st =
            lorac_fail(err, LORAC_EUSER,
                       "the prompt has %zu tokens and the longest label %zu, the context holds %zu",
                       prompt->n, lorac_chooser_room(chooser), most);
    }
    if (!st) { st = lorac_chooser_ask(a->ranked, chooser, prompt, err); }
    lorac_chooser_free(chooser);
    lorac_template_free(template);
    lorac_mem_free(names);
    return st;
}

enum lorac_status bench_labels(struct label_answer *a, struct bench *b,
                               const struct lorac_ids *prompt, struct lorac_err *err)
{
    struct saved s = {0};
    *a = (struct label_answer){0};
    enum lorac_status st = read_saved(&s, b, err);
    if (!st) { st = read_labels(a, &s, err); }
    if (!st) { st = rank(a, b, &s, prompt, err); }
    lorac_json_free(&s.root);
    return st;
}

void label_answer_free(struct label_answer *a)
{
    for (size_t k = 0; k < a->K; k++) {
        lorac_mem_free(a->labels[k]);
    }
    lorac_mem_free(a->labels);
    lorac_mem_free(a->ranked);
    *a = (struct label_answer){0};
}

void out_labels(struct out *j, const char *const *labels, const struct lorac_ranked *ranked,
                size_t top)
{
    struct lorac_buf list = {0};
    for (size_t i = 0; i < top; i++) {
        const char *label = labels[ranked[i].k];
        struct out one = {0};
        out_text(&one, "label", label, strlen(label));
        out_real(&one, "probability", ranked[i].probability);
        out_real(&one, "log_likelihood", -ranked[i].nll);
        lorac_buf_printf(&list, "%s%s}", i ? ", " : "[", one.b.at ? one.b.at : "{");
        list.no_memory = list.no_memory || one.b.no_memory;
        lorac_buf_free(&one.b);
    }
    lorac_buf_str(&list, "]");
    out_raw(j, "top", list.at ? list.at : "[]");
    j->b.no_memory = j->b.no_memory || list.no_memory;
    lorac_buf_free(&list);
}
