/* template.c - text with variables in braces; see datasets.h. */
#include "base/core/buf.h"
#include "base/core/mem.h"
#include "datasets/datasets.h"
#include "datasets/names.h"

#include <string.h>

struct part {
    size_t at, n;    // a literal: its bytes in the side's text, escapes undone
    size_t variable; // or a variable; NONE for a literal
};
#define NONE SIZE_MAX

struct side {
    struct lorac_buf text;
    struct part parts[LORAC_MAX_PARTS];
    size_t n;
};

struct lorac_template {
    struct side prompt, completion;
    bool *used; // (n_variables)
    size_t n_variables;
};

/* Where parsing stands. */
struct cursor {
    const char *key, *text, *at;
    const struct lorac_template_options *o;
};

static enum lorac_status fail_at(const struct cursor *c, const char *at, const char *what,
                                 struct lorac_err *err)
{
    size_t column = 1;
    for (const char *p = c->text; p < at; p++) {
        column += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return lorac_fail(err, LORAC_EUSER, "%s:%zu: %s", c->key, column, what);
}

static enum lorac_status add_part(struct side *s, const struct cursor *c, struct part part,
                                  struct lorac_err *err)
{
    if (s->n == LORAC_MAX_PARTS) {
        return lorac_fail(err, LORAC_EUSER, "%s: more than %d parts, expected fewer", c->key,
                          LORAC_MAX_PARTS);
    }
    s->parts[s->n++] = part;
    return LORAC_OK;
}

/* A literal goes on until a single brace. */
static enum lorac_status parse_literal(struct side *s, struct cursor *c, struct lorac_err *err)
{
    size_t at = s->text.n;
    while (*c->at) {
        bool brace = *c->at == '{' || *c->at == '}';
        if (brace && c->at[1] != *c->at) { break; }
        lorac_buf_add(&s->text, c->at, 1);
        c->at += brace ? 2 : 1;
    }
    return add_part(s, c, (struct part){.at = at, .n = s->text.n - at, .variable = NONE}, err);
}

static enum lorac_status parse_variable(struct lorac_template *t, struct side *s, struct cursor *c,
                                        struct lorac_err *err)
{
    const char *name = c->at + 1;
    size_t n = strcspn(name, "{}\n");
    if (name[n] != '}') {
        return fail_at(c, c->at, "'{' without '}' (write '{{' for a brace)", err);
    }
    if (n == 0) { return fail_at(c, c->at, "'{}' names no variable, expected {name}", err); }
    for (size_t v = 0; v < c->o->n_variables; v++) {
        const char *known = c->o->variables[v];
        if (strlen(known) == n && memcmp(known, name, n) == 0) {
            t->used[v] = true;
            c->at = name + n + 1;
            return add_part(s, c, (struct part){.variable = v}, err);
        }
    }
    char *copy = lorac_mem_string(name, n);
    if (!copy) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->key); }
    struct lorac_buf text = {0};
    lorac_buf_printf(&text, "no variable '%.40s'", copy);
    lorac_names_hint(&text, copy, c->o->variables, c->o->n_variables);
    enum lorac_status st = fail_at(c, name, text.at ? text.at : "no such variable", err);
    lorac_buf_free(&text);
    lorac_mem_free(copy);
    return st;
}

static enum lorac_status parse_side(struct lorac_template *t, struct side *s, struct cursor c,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    c.at = c.text;
    while (!st && *c.at) {
        if (*c.at == '{' && c.at[1] != '{') {
            st = parse_variable(t, s, &c, err);
        } else if (*c.at == '}' && c.at[1] != '}') {
            st = fail_at(&c, c.at, "'}' without '{' (write '}}' for a brace)", err);
        } else {
            st = parse_literal(s, &c, err);
        }
    }
    if (!st && s->text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c.key); }
    return st;
}

enum lorac_status lorac_template_parse(struct lorac_template **out,
                                       const struct lorac_template_options *o,
                                       struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct cursor c = {.key = "template.prompt", .text = o->prompt ? o->prompt : "", .o = o};
    struct lorac_template *t = lorac_mem_new(1, sizeof *t);
    if (t) { t->used = lorac_mem_new(o->n_variables, sizeof *t->used); }
    if (!t || !t->used) {
        st = lorac_fail(err, LORAC_ENOMEM, "template: no memory");
        goto done;
    }
    t->n_variables = o->n_variables;
    st = parse_side(t, &t->prompt, c, err);
    if (st) { goto done; }
    c.key = "template.completion";
    c.text = o->completion ? o->completion : "";
    st = parse_side(t, &t->completion, c, err);
    if (!st && t->prompt.n + t->completion.n == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "template: prompt and completion are both empty, "
                        "expected one of them");
    }
done:
    if (st) {
        lorac_template_free(t);
        t = NULL;
    }
    *out = t;
    return st;
}

void lorac_template_free(struct lorac_template *t)
{
    if (!t) { return; }
    lorac_buf_free(&t->prompt.text);
    lorac_buf_free(&t->completion.text);
    lorac_mem_free(t->used);
    lorac_mem_free(t);
}

bool lorac_template_uses(const struct lorac_template *t, size_t variable)
{
    return variable < t->n_variables && t->used[variable];
}

static bool side_uses(const struct side *s, size_t variable)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->parts[i].variable == variable) { return true; }
    }
    return false;
}

bool lorac_template_prompt_uses(const struct lorac_template *t, size_t variable)
{
    return side_uses(&t->prompt, variable);
}

bool lorac_template_completion_uses(const struct lorac_template *t, size_t variable)
{
    return side_uses(&t->completion, variable);
}

bool lorac_template_has_prompt(const struct lorac_template *t)
{
    return t->prompt.n > 0;
}

bool lorac_template_has_completion(const struct lorac_template *t)
{
    return t->completion.n > 0;
}

static size_t render(struct lorac_text *texts, const struct side *s,
                     const struct lorac_cell *values)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct part *p = &s->parts[i];
        if (p->variable == NONE) {
            texts[i] = (struct lorac_text){.at = s->text.at + p->at, .n = p->n, .special = true};
        } else {
            const struct lorac_cell *v = &values[p->variable];
            texts[i] = (struct lorac_text){.at = v->at, .n = v->n, .special = false};
        }
    }
    return s->n;
}

size_t lorac_template_prompt(struct lorac_text *texts, const struct lorac_template *t,
                             const struct lorac_cell *values)
{
    return render(texts, &t->prompt, values);
}

size_t lorac_template_completion(struct lorac_text *texts, const struct lorac_template *t,
                                 const struct lorac_cell *values)
{
    return render(texts, &t->completion, values);
}
