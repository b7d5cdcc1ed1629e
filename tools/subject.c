/* subject.c - see subject.h. */
#include "tools/subject.h"

#include <stdio.h>
#include <string.h>

bool subject_excludes(const struct args *a)
{
    bool both = args_has(a, "--base") && args_has(a, "--adapter");
    if (both) { fprintf(stderr, "lorac: --base and --adapter exclude each other\n"); }
    return both;
}

/* PEFT's files do not tell what its words' tokens were. */
static void note_words(const struct subject *s)
{
    if (s->adapter->template_json || !lorac_job_spaces(s->j)) { return; }
    fprintf(stderr,
            "note: %s was not trained with lorac, which reads each word as behind a space: trained "
            "on words without one (is_split_into_words, add_prefix_space false) it knows other "
            "tokens\n",
            s->adapter->name);
}

enum lorac_status subject_open(struct subject *s, const struct args *a, unsigned parts,
                               struct lorac_err *err)
{
    enum lorac_status st = recipe_or_run(&s->r, &s->adapter_dir, a->positional[0], a, err);
    const char *given = args_text(a, "--adapter", NULL);
    if (!st && given) {
        lorac_mem_free(s->adapter_dir);
        s->adapter_dir = lorac_mem_string(given, strlen(given));
    }
    if (!st) { st = lorac_job_open_for(&s->j, s->r, s->adapter_dir, parts, err); }
    if (!st && s->adapter_dir && !args_has(a, "--base")) {
        bool force = args_has(a, "--force");
        st = load_adapter(&s->adapter, s->j->model, s->adapter_dir, force, err);
        if (!st && !force) { st = lorac_template_check(s->adapter, s->j, err); }
        if (!st) { st = lorac_head_take(s->j, s->adapter, err); }
        if (!st) { note_words(s); }
        s->stack = (struct lorac_stack){.n = 1, .adapter = {s->adapter}, .factor = {1.0F}};
        s->socket = lorac_stack_socket(&s->stack);
    }
    status_begin(&s->line);
    stop_on_signals();
    return st;
}

void subject_close(struct subject *s)
{
    lorac_adapter_free(s->adapter);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
    lorac_mem_free(s->adapter_dir);
}

bool subject_progress(void *self, double done)
{
    struct subject *s = self;
    status_share(&s->line, s->doing, done);
    return !stop_asked();
}
