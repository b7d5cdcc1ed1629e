/* prompt.c - the prompt of --prompt, --field, --raw and --chat as tokens: as given, through the
 * template that the adapters carry, or the model's chat template; see verbs.h. */
#include "tools/verbs.h"
#include <lorac/datasets.h>

#include <string.h>

enum { PROMPT_LIMIT = 16 << 20 };

/* The value of --field NAME=VALUE, or NULL. */
static const char *field(const struct args *a, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; args_each(a, "--field", i); i++) {
        const char *text = args_each(a, "--field", i);
        if (strncmp(text, name, n) == 0 && text[n] == '=') { return text + n + 1; }
    }
    return NULL;
}

/* Each --field must name a variable: what fills nothing would be lost without a word. */
static enum lorac_status check_fields(const char *const *names, size_t n, const struct args *a,
                                      const char *whose, struct lorac_err *err)
{
    for (size_t i = 0; args_each(a, "--field", i); i++) {
        const char *text = args_each(a, "--field", i);
        const char *equals = strchr(text, '='); // args.c makes sure of it
        bool known = false;
        for (size_t k = 0; k < n; k++) {
            size_t length = strlen(names[k]);
            known = known ||
                    ((size_t)(equals - text) == length && strncmp(text, names[k], length) == 0);
        }
        if (!known) {
            return lorac_fail(err, LORAC_EUSER,
                              "--field %s: the %s template has no such variable; its first "
                              "of %zu is '%s'",
                              text, whose, n, n ? names[0] : "");
        }
        for (size_t k = 0; k < i; k++) {
            size_t length = (size_t)(equals - text) + 1;
            if (strncmp(args_each(a, "--field", k), text, length) == 0) {
                return lorac_fail(err, LORAC_EUSER, "--field %s: is given twice", text);
            }
        }
    }
    return LORAC_OK;
}

/* The variable that the text fills: the only one without a field, not counting those that may be
 * blank; or n. */
static enum lorac_status find_open(size_t *open, const char *const *names, const bool *optional,
                                   size_t n, const struct args *a, bool raw, struct lorac_err *err)
{
    size_t spare = n;
    *open = n;
    for (size_t i = 0; i < n; i++) {
        if (field(a, names[i])) { continue; }
        if (optional[i]) {
            spare = spare == n ? i : spare;
        } else if (*open == n) {
            *open = i;
        } else {
            return lorac_fail(err, LORAC_EUSER, "the %s template also needs --field %s=...%s",
                              raw ? "adapter's" : "recipe's", names[i],
                              raw ? "; --raw would prompt without the template" : "");
        }
    }
    if (*open == n) { *open = spare; }
    return LORAC_OK;
}

enum lorac_status fields_fill(struct lorac_cell *values, const char *const *names,
                              const bool *optional, size_t n, const struct args *a,
                              const char *option, const struct lorac_buf *text,
                              struct lorac_err *err)
{
    size_t open = n;
    bool raw = strcmp(option, "--prompt") == 0; // there is a way around the template
    const char *whose = raw ? "adapter's" : "recipe's";
    enum lorac_status st = check_fields(names, n, a, whose, err);
    if (!st) { st = find_open(&open, names, optional, n, a, raw, err); }
    if (st) { return st; }
    for (size_t i = 0; i < n; i++) {
        const char *value = field(a, names[i]);
        values[i] = (struct lorac_cell){value ? value : "", value ? strlen(value) : 0};
    }
    if (open < n) { values[open] = (struct lorac_cell){text->at ? text->at : "", text->n}; }
    if (open == n && text->n) {
        return lorac_fail(err, LORAC_EUSER,
                          "the %s template leaves no place for %s%s; give it as ''%s", whose,
                          option, n ? ": --field fills all its variables" : ": it has no variables",
                          raw ? ", or prompt without the template with --raw" : "");
    }
    return LORAC_OK;
}

enum lorac_status saved_prompt(struct lorac_ids *ids, struct lorac_buf *text,
                               const struct lorac_saved *saved, const struct lorac_tokenizer *t,
                               const struct filler *filler, struct lorac_err *err)
{
    struct lorac_template *template = NULL;
    char **names = NULL;
    size_t n = 0;
    struct lorac_cell *values = NULL;
    bool *optional = NULL;
    enum lorac_status st = lorac_template_variables(&names, &n, saved->prompt, err);
    const struct lorac_template_options o = {
        .prompt = saved->prompt, .variables = (const char *const *)names, .n_variables = n};
    if (!st) {
        values = lorac_mem_new(n, sizeof *values);
        optional = lorac_mem_new(n, sizeof *optional);
        st = values && optional ? lorac_template_parse(&template, &o, err)
                                : lorac_fail(err, LORAC_ENOMEM, "no memory for the template");
    }
    for (size_t i = 0; i < n && !st; i++) {
        optional[i] = lorac_template_is_optional(template, i);
    }
    if (!st) { st = filler->fill(filler->self, values, o.variables, optional, n, err); }
    if (!st && !text) { st = lorac_prompt_encode(ids, template, t, values, err); }
    if (!st && text) {
        struct lorac_text parts[LORAC_MAX_PARTS];
        size_t n_parts = lorac_template_prompt(parts, template, values);
        for (size_t i = 0; i < n_parts; i++) {
            lorac_buf_add(text, parts[i].at, parts[i].n);
        }
        if (text->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for the prompt"); }
    }
    lorac_template_free(template);
    lorac_mem_free(values);
    lorac_mem_free(optional);
    lorac_mem_free(names);
    return st;
}

struct given {
    const struct args *a;
    const struct lorac_buf *prompt;
};

static enum lorac_status fill_given(const void *self, struct lorac_cell *values,
                                    const char *const *names, const bool *optional, size_t n,
                                    struct lorac_err *err)
{
    const struct given *g = self;
    return fields_fill(values, names, optional, n, g->a, "--prompt", g->prompt, err);
}

enum lorac_status bench_template(struct lorac_saved **out, const struct bench *b,
                                 struct lorac_err *err)
{
    const char *json = NULL;
    *out = NULL;
    for (size_t i = 0; i < b->stack.n; i++) {
        const char *t = b->stack.adapter[i]->template_json;
        if (!t) { continue; }
        if (json && strcmp(json, t) != 0) {
            return lorac_fail(
                err, LORAC_EUSER,
                "the adapters were trained with different templates; choose with --raw and the "
                "whole prompt");
        }
        json = t;
    }
    return lorac_saved_read(out, json, err);
}

enum lorac_status bench_form(struct form *f, const struct bench *b, struct lorac_err *err)
{
    return form_open(f, b->model, b->tokenizer, b->stack.n ? b->stack.adapter[0] : NULL, err);
}

/* --chat, and adapters that were trained on chats: what a user says, and where the answer to it
 * begins, as the chat template has it. */
static enum lorac_status encode_chat(struct lorac_ids *ids, const struct bench *b,
                                     const struct args *a, bool as_trained,
                                     const struct lorac_buf *prompt, struct lorac_err *err)
{
    struct form form = {0};
    struct lorac_messages m = {0};
    const char *system = args_text(a, "--system", NULL);
    enum lorac_status st = bench_form(&form, b, err);
    if (!as_trained) {
        lorac_mem_free(form.saved);
        form.saved = NULL;
    }
    if (!st && system) { st = lorac_messages_add(&m, "system", system, strlen(system), err); }
    if (!st) { st = lorac_messages_add(&m, "user", prompt->at ? prompt->at : "", prompt->n, err); }
    if (!st) { st = form_encode(ids, &form, &m, true, err); }
    lorac_messages_free(&m);
    form_close(&form);
    return st;
}

/* Options that have no effect beside each other. */
static enum lorac_status check_chat(const struct bench *b, const struct args *a, bool fills,
                                    bool chats, struct lorac_err *err)
{
    if (args_has(a, "--system") && !args_has(a, "--chat") && !chats) {
        return lorac_fail(err, LORAC_EUSER, "--system is a part of a chat: it needs --chat");
    }
    if (!args_has(a, "--chat")) { return LORAC_OK; }
    if (b->model->config.bidirectional) {
        return lorac_fail(err, LORAC_EUSER,
                          "--chat: a %s is an encoder, which reads one text, masked where tokens "
                          "are to be guessed, and answers nobody",
                          lorac_arch_type(b->model->config.arch));
    }
    if (args_has(a, "--field")) {
        return lorac_fail(err, LORAC_EUSER, "--field fills an adapter's template: not with --chat");
    }
    if (fills) {
        return lorac_fail(err, LORAC_EUSER,
                          "--chat: the adapter was trained on prompts of its own template: leave "
                          "--chat out to use it, or add --raw to chat all the same");
    }
    return LORAC_OK;
}

enum lorac_status bench_prompt_of(struct lorac_ids *ids, const struct bench *b,
                                  const struct args *a, const struct lorac_buf *prompt,
                                  struct lorac_err *err)
{
    struct lorac_saved *saved = NULL;
    enum lorac_status st = LORAC_OK;
    if (prompt->n > PROMPT_LIMIT) { st = lorac_fail(err, LORAC_EUSER, "the prompt is too long"); }
    if (!st && !args_has(a, "--raw")) { st = bench_template(&saved, b, err); }
    // without a prompt the template begins with the completion: free text, of which this is the
    // beginning
    bool fills = saved && *saved->prompt;
    bool chats = saved && saved->chat;
    const struct given given = {a, prompt};
    const struct filler filler = {fill_given, &given};
    struct lorac_buf filled = {0};
    bool encoder = b->model->config.bidirectional; // reads all of it, framed, its masks recognised
    if (!st) { st = check_chat(b, a, fills && !chats, chats, err); }
    if (!st && chats && fills) {
        st = saved_prompt(NULL, &filled, saved, b->tokenizer, &filler, err);
        if (!st) { st = encode_chat(ids, b, a, saved != NULL, &filled, err); }
    } else if (!st && (chats || args_has(a, "--chat"))) {
        st = encode_chat(ids, b, a, saved != NULL, prompt, err);
    } else if (!st && fills && !encoder) {
        st = saved_prompt(ids, NULL, saved, b->tokenizer, &filler, err);
    } else if (!st && !fills && args_has(a, "--field")) {
        st = lorac_fail(err, LORAC_EUSER, "--field needs an adapter with a template%s",
                        saved ? ", this one's has no prompt" : "");
    } else if (!st) {
        if (fills) { st = saved_prompt(NULL, &filled, saved, b->tokenizer, &filler, err); }
        const struct lorac_buf *whole = fills ? &filled : prompt;
        struct lorac_text text = {whole->at ? whole->at : "", whole->n, true};
        unsigned flags = LORAC_ENCODE_BEGINS | (encoder ? LORAC_ENCODE_ENDS : 0U);
        if (!st) { st = lorac_encode(ids, b->tokenizer, &text, 1, flags, err); }
    }
    lorac_buf_free(&filled);
    lorac_mem_free(saved);
    return st;
}

enum lorac_status bench_prompt(struct lorac_ids *ids, const struct bench *b, const struct args *a,
                               struct lorac_err *err)
{
    const char *given = args_text(a, "--prompt", "");
    struct lorac_buf prompt = {0};
    enum lorac_status st = LORAC_OK;
    if (strcmp(given, "-") == 0) {
        st = read_text(&prompt, "-", err);
    } else {
        lorac_buf_str(&prompt, given);
    }
    if (!st) { st = bench_prompt_of(ids, b, a, &prompt, err); }
    lorac_buf_free(&prompt);
    return st;
}
