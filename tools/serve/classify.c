/* classify.c - POST /classify: how likely each of the labels is that an adapter was trained to
 * choose from; as vLLM's, of which it is this model's. See ask.h. */
#include "tools/serve/ask.h"

#include <math.h>
#include <string.h>

/* ---- the prompt ---- */

static struct lorac_cell cell_of(const json_t *text)
{
    return (struct lorac_cell){text ? json_string_value(text) : "", json_string_length(text)};
}

/* A text is the only variable, not counting those that may be blank. */
static enum lorac_status fill_one(struct lorac_cell *values, const json_t *text,
                                  const bool *optional, size_t n, struct lorac_err *err)
{
    size_t at = n;
    size_t open = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = cell_of(NULL);
        if (optional[i] && n > 1) { continue; }
        at = i;
        open++;
    }
    if (open != 1) {
        return lorac_fail(err, LORAC_EUSER,
                          "input: the adapter's template has %zu variables: expected an object of "
                          "texts, by their names",
                          n);
    }
    values[at] = cell_of(text);
    return LORAC_OK;
}

static enum lorac_status fill(const void *self, struct lorac_cell *values, const char *const *names,
                              const bool *optional, size_t n, struct lorac_err *err)
{
    const json_t *input = self;
    size_t used = 0;
    if (json_is_string(input)) { return fill_one(values, input, optional, n, err); }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(input, names[i]);
        if (v ? !json_is_string(v) : !optional[i]) {
            return lorac_fail(err, LORAC_EUSER, "input.%.60s %s", names[i],
                              v ? "must be a text" : "is missing: the adapter's template has it");
        }
        values[i] = cell_of(v);
        used += v != NULL;
    }
    if (used == json_object_size(input)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "input: has %zu texts, the adapter's template knows %zu of their names",
                      json_object_size(input), used);
}

static enum lorac_status encode_chat(struct lorac_ids *ids, const struct talk *talk,
                                     const struct lorac_buf *text, struct lorac_err *err)
{
    struct lorac_messages m = {0};
    if (!talk->form.chat) { return lorac_fail(err, LORAC_EUSER, "%s", talk->why); }
    enum lorac_status st = lorac_messages_add(&m, "user", text->at ? text->at : "", text->n, err);
    if (!st) { st = form_encode(ids, &talk->form, &m, true, err); }
    lorac_messages_free(&m);
    return st;
}

/* As it was trained. */
static enum lorac_status encode(struct lorac_ids *ids, const struct ask *a, const json_t *input,
                                struct lorac_err *err)
{
    const struct filler filler = {fill, input};
    const struct lorac_tokenizer *t = a->s->tokenizer;
    const struct talk *talk = ask_talk(a->s, a->call.adapter);
    struct lorac_buf text = {0};
    enum lorac_status st = LORAC_OK;
    if (*a->saved->prompt) {
        st = saved_prompt(ids, a->saved->chat ? &text : NULL, a->saved, t, &filler, err);
    } else if (json_is_string(input)) { // all of it
        lorac_buf_add(&text, json_string_value(input), json_string_length(input));
        struct lorac_text all = {text.at, text.n, true};
        if (text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a prompt"); }
        if (!st && !a->saved->chat) {
            st = lorac_encode(ids, t, &all, 1, LORAC_ENCODE_BEGINS, err);
        }
    } else {
        st = lorac_fail(err, LORAC_EUSER,
                        "input: the adapter's template has no prompt: expected a "
                        "text");
    }
    if (!st && a->saved->chat) { st = encode_chat(ids, talk, &text, err); }
    lorac_buf_free(&text);
    return st;
}

/* ---- a choice for each label ---- */

/* Append the tokens of label k. */
static enum lorac_status add_label(struct lorac_ids *ids, const struct lorac_tree *tree, size_t k,
                                   struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t end = ids->n + tree->at[tree->last[k]].depth;
    while (ids->n < end && !st) {
        st = lorac_ids_add(ids, 0, err);
    }
    for (size_t at = tree->last[k]; at && !st; at = tree->at[at].parent) {
        ids->at[--end] = tree->at[at].id;
    }
    return st;
}

static bool check(struct ask *a, const json_t *input, struct fault *f)
{
    struct resident *r = a->call.adapter;
    a->saved = r && r->saved && r->saved->K ? r->saved : NULL;
    if (!a->saved) {
        return fault_set(f, 400, "no_labels", "model",
                         "'%.128s' was not trained to choose from labels", a->model);
    }
    if (!json_is_string(input) && !json_is_object(input)) {
        return fault_set(
            f, 400, NULL, "input",
            "input must be a text, or an object of texts for the template's variables");
    }
    return true;
}

bool ask_labels(struct ask *a, struct fault *f)
{
    const struct lorac_sampling o = {.temperature = 1.0, .top_p = 1.0, .repetition_penalty = 1.0};
    const json_t *input = json_object_get(a->root, "input");
    const struct lorac_chat *chat = ask_talk(a->s, a->call.adapter)->form.chat;
    struct lorac_tree tree = {0};
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    if (!check(a, input, f)) { return false; }
    enum lorac_status st = encode(&ids, a, input, &err);
    if (!st) { st = labels_tree(&tree, a->saved, chat, a->s->tokenizer, &err); }
    bool ok = st ? fault_of(f, 400, NULL, "input", &err) : ask_choices(a, a->saved->K, &o, f);
    if (ok && ids.n == 0) { ok = fault_set(f, 400, NULL, "input", "a prompt has no token"); }
    size_t most = engine_length(a->s->engine);
    if (ok && ids.n + tree.longest > most) {
        ok = fault_set(f, 400, "context_length_exceeded", "input",
                       "a prompt of %zu tokens and a label of %zu, but both have %zu together",
                       ids.n, tree.longest, most);
    }
    a->n_prompt = ids.n;
    a->call.scores = true; // and no alternatives: call.top is 0
    a->call.from = ids.n;
    for (size_t k = 0; k < a->call.n && ok; k++) {
        struct choice *c = &a->call.choice[k];
        for (size_t i = 0; i < ids.n && !st; i++) {
            st = lorac_ids_add(&c->seen, ids.at[i], &err);
        }
        if (!st) { st = add_label(&c->seen, &tree, k, &err); }
        c->n_prompt = c->seen.n;
        if (st) { ok = fault_of(f, 400, NULL, "input", &err); }
    }
    lorac_ids_free(&ids);
    lorac_tree_free(&tree);
    return ok;
}

/* ---- the answer ---- */

static double likelihood(const struct ask *a, size_t k)
{
    const struct choice *c = &a->call.choice[k];
    double sum = 0.0;
    for (size_t i = 0; i < c->n_tokens; i++) {
        sum += c->token[i].logprob;
    }
    return sum;
}

void ask_write_labels(struct lorac_buf *b, const struct ask *a)
{
    size_t best = 0;
    double sum = 0.0;
    for (size_t k = 1; k < a->call.n; k++) {
        best = likelihood(a, k) > likelihood(a, best) ? k : best;
    }
    double most = likelihood(a, best);
    for (size_t k = 0; k < a->call.n; k++) {
        sum += exp(likelihood(a, k) - most);
    }
    ask_write_head(b, a, "list");
    lorac_buf_str(b, ",\"data\":[{\"index\":0,\"label\":");
    lorac_buf_json(b, a->saved->labels[best], strlen(a->saved->labels[best]));
    lorac_buf_str(b, ",\"probs\":[");
    for (size_t k = 0; k < a->call.n; k++) {
        lorac_buf_printf(b, "%s%.9g", k ? "," : "", exp(likelihood(a, k) - most) / sum);
    }
    lorac_buf_printf(b, "],\"num_classes\":%zu}],\"labels\":[", a->call.n);
    for (size_t k = 0; k < a->call.n; k++) {
        lorac_buf_str(b, k ? "," : "");
        lorac_buf_json(b, a->saved->labels[k], strlen(a->saved->labels[k]));
    }
    lorac_buf_printf(b,
                     "],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":0,"
                     "\"total_tokens\":%zu}}",
                     a->n_prompt, a->n_prompt);
}
