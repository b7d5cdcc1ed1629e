/* form.c - how a chat is written for who answers: as its adapter was trained; see verbs.h. */
#include "tools/verbs.h"

#include <string.h>
#include <time.h>

enum lorac_status form_open(struct form *f, const struct lorac_model *m,
                            const struct lorac_tokenizer *t, const struct lorac_adapter *a,
                            struct lorac_err *err)
{
    *f = (struct form){0};
    enum lorac_status st = lorac_chat_open_for(&f->chat, m->dir, a ? a->name : NULL, t, err);
    if (!st && a) { st = lorac_saved_read(&f->saved, a->template_json, err); }
    if (st) { form_close(f); }
    return st;
}

void form_close(struct form *f)
{
    lorac_chat_free(f->chat);
    lorac_mem_free(f->saved);
    *f = (struct form){0};
}

int64_t form_day(const struct form *f)
{
    int64_t day = time(NULL);
    if (f->saved && f->saved->date) { (void)lorac_day_parse(&day, f->saved->date); }
    return day;
}

/* Append what the system said while the adapter was trained. */
static enum lorac_status add_system(struct lorac_buf *text, const char *saved,
                                    struct lorac_err *err)
{
    char **names = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_template_variables(&names, &n, saved, err);
    if (!st && n) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the adapter was trained with a system's text that holds {%s}: say what "
                        "the system says",
                        names[0]);
    }
    for (const char *c = saved; *c && !st; c++) {
        c += (c[0] == '{' || c[0] == '}') && c[1] == c[0]; // a brace that is text
        lorac_buf_add(text, c, 1);
    }
    lorac_mem_free(names);
    return !st && text->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for the prompt") : st;
}

/* A conversation with the system's words in front. */
struct whole {
    struct lorac_buf system;
    struct lorac_message *all;
    const struct lorac_message *at; // (n) all, or what was given
    size_t n;
};

static enum lorac_status make_whole(struct whole *w, const struct form *f,
                                    const struct lorac_messages *m, struct lorac_err *err)
{
    const char *role = m->n ? m->at[0].role : "";
    bool silent = strcmp(role, "system") != 0 && strcmp(role, "developer") != 0;
    *w = (struct whole){.at = m->at, .n = m->n};
    if (!silent || !f->saved || !f->saved->system) { return LORAC_OK; }
    w->all = lorac_mem_new(m->n + 1, sizeof *w->all);
    if (!w->all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the prompt"); }
    enum lorac_status st = add_system(&w->system, f->saved->system, err);
    if (st) { return st; }
    w->all[0] =
        (struct lorac_message){.role = "system", .content = w->system.at ? w->system.at : ""};
    if (m->n) { memcpy(w->all + 1, m->at, m->n * sizeof *w->all); }
    w->at = w->all;
    w->n = m->n + 1;
    return LORAC_OK;
}

static void whole_free(struct whole *w)
{
    lorac_buf_free(&w->system);
    lorac_mem_free(w->all);
}

enum lorac_status form_encode(struct lorac_ids *ids, const struct form *f,
                              const struct lorac_messages *m, bool answer, struct lorac_err *err)
{
    struct whole w;
    enum lorac_status st = make_whole(&w, f, m, err);
    if (!st) { st = lorac_chat_encode(ids, NULL, f->chat, w.at, w.n, answer, form_day(f), err); }
    whole_free(&w);
    return st;
}

enum lorac_status form_answers(struct lorac_ids *ids, struct lorac_buf *answers,
                               const struct form *f, const struct lorac_messages *m,
                               struct lorac_err *err)
{
    struct whole w;
    enum lorac_status st = make_whole(&w, f, m, err);
    if (!st) { st = lorac_chat_answers(ids, answers, f->chat, w.at, w.n, false, form_day(f), err); }
    whole_free(&w);
    return st;
}
