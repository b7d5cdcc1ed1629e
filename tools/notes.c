/* notes.c - what is worth a word beside a result; see verbs.h. */
#include "tools/verbs.h"

#include <string.h>

/* The first folder of adapters and base whose prompts have a form of their own; *file names what
 * says so. */
static const char *chat_folder(const char **file, const struct bench *b)
{
    const char *dirs[LORAC_MAX_STACK + 1];
    size_t n = 0;
    if (b->chat) { return NULL; }
    for (size_t i = 0; i < b->stack.n; i++) {
        if (b->stack.adapter[i]->template_json) { return NULL; } // prompts went through that one
        dirs[n++] = b->stack.adapter[i]->name;
    }
    dirs[n++] = b->model->dir;
    for (size_t i = 0; i < n; i++) {
        struct lorac_buf text = {0};
        enum lorac_status st = lorac_chat_template(&text, file, dirs[i], NULL);
        lorac_buf_free(&text);
        if (!st && *file) { return dirs[i]; }
    }
    return NULL;
}

/* "note: WHAT", and what may be the reason. */
static void note_end(const char *what, const struct bench *b)
{
    const char *file = NULL;
    const char *dir = chat_folder(&file, b);
    fprintf(stderr, "note: %s", what);
    if (dir) {
        fprintf(stderr,
                "; %s has a chat template (%s), which is not applied: --chat prompts in that form",
                dir, file);
    }
    fputc('\n', stderr);
}

void note_nothing(const struct bench *b, const struct lorac_ids *ids, const struct lorac_buf *text,
                  enum lorac_finish finish)
{
    char many[48];
    if (text->n) { return; }
    if (finish == LORAC_FINISH_END && ids->n == 0) {
        note_end("the model ended at once: its first token ends the text", b);
    } else if (finish == LORAC_FINISH_STOP) {
        fprintf(stderr, "note: the answer begins with a text of --stop: nothing of it is left\n");
    } else if (ids->n && finish != LORAC_FINISH_CALLER) {
        fprintf(stderr, "note: the answer is of special tokens alone, which are not shown: %s\n",
                show_many(many, ids->n, "token"));
    }
}

void note_next(const struct bench *b, int32_t id)
{
    if (lorac_token_is_end(b->tokenizer, id)) {
        note_end("the likeliest next token ends the text", b);
    }
}

void note_adapter(const struct lorac_adapter *a, const struct lorac_model *m,
                  const struct lorac_tokenizer *t)
{
    struct lorac_buf own = {0};
    struct lorac_buf base = {0};
    const char *file = NULL;
    const char *base_file = NULL;
    if (a->template_json) { return; } // ours: it brings no tokenizer
    if (!lorac_chat_template(&own, &file, a->name, NULL) && file) {
        bool known = !lorac_chat_template(&base, &base_file, m->dir, NULL) && base_file;
        bool same = known && own.n == base.n && memcmp(own.at, base.at, own.n) == 0;
        if (!same) {
            fprintf(stderr,
                    "note: %s brings a chat template of its own (%s), which is not applied: write "
                    "prompts in its form; merging keeps the base's files\n",
                    a->name, file);
        }
    }
    struct lorac_tokenizer *other = NULL;
    char x[LORAC_TOKENIZER_FINGERPRINT] = "";
    char y[LORAC_TOKENIZER_FINGERPRINT] = "";
    if (t && !lorac_tokenizer_open(&other, a->name, NULL) &&
        !lorac_tokenizer_fingerprint(x, t, NULL) && !lorac_tokenizer_fingerprint(y, other, NULL) &&
        strcmp(x, y) != 0) {
        fprintf(
            stderr,
            "note: %s brings a tokenizer of its own (%zu tokens), which makes other tokens than "
            "the base's (%zu): the base's is used\n",
            a->name, lorac_tokenizer_size(other), lorac_tokenizer_size(t));
    }
    lorac_tokenizer_free(other);
    lorac_buf_free(&own);
    lorac_buf_free(&base);
}
