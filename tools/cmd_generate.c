/* cmd_generate.c - `lorac generate`: prompt a model, with or without adapters. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

static bool show(void *self, const char *text, size_t n)
{
    const bool *silent = self;
    if (!*silent) {
        (void)fwrite(text, 1, n, stdout);
        (void)fflush(stdout);
    }
    return !stop_asked();
}

static int print_json(const struct lorac_ids *ids, const struct lorac_buf *text,
                      enum lorac_finish finish, size_t prompt_tokens, double seconds)
{
    struct out j = {0};
    out_ids(&j, "ids", ids->at, ids->n);
    out_text(&j, "text", text->at ? text->at : "", text->n);
    out_text(&j, "finish", lorac_finish_name(finish), strlen(lorac_finish_name(finish)));
    out_count(&j, "prompt_tokens", prompt_tokens);
    out_count(&j, "tokens", ids->n);
    out_real(&j, "seconds", seconds);
    return out_print(&j);
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct bench b = {0};
    struct lorac_sampling o;
    const char *stops[MAX_GIVEN];
    struct lorac_ids prompt = {0};
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    struct lorac_generator *g = NULL;
    enum lorac_finish finish = LORAC_FINISH_END;
    bool as_json = args_has(a, "--json");
    enum lorac_status st = read_sampling(&o, stops, a, &err);
    if (st) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    stop_on_signals();
    st = bench_open(&b, a, true, &err);
    if (!st) { st = bench_prompt(&prompt, &b, a, &err); }
    if (!st) {
        st = lorac_generator_new(&g, b.model, bench_socket(&b), prompt.n + o.max_tokens, &err);
    }
    double begin = lorac_clock();
    if (!st) {
        st = lorac_generate(&ids, &text, &finish, g, b.tokenizer, prompt.at, prompt.n, &o, show,
                            &as_json, &err);
    }
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (as_json) {
        code = print_json(&ids, &text, finish, prompt.n, lorac_clock() - begin);
    } else {
        putchar('\n');
        if (finish == LORAC_FINISH_CONTEXT) {
            fprintf(stderr, "note: ended after %zu tokens, where the model's context is full\n",
                    ids.n);
        }
    }
    if (!st && finish == LORAC_FINISH_CALLER) { code = stop_code(); }
    lorac_generator_free(g);
    lorac_ids_free(&prompt);
    lorac_ids_free(&ids);
    lorac_buf_free(&text);
    bench_close(&b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    PROMPT_OPTIONS,
    SAMPLING_OPTIONS,
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_generate = {
    .name = "generate",
    .usage = "--model DIR [--adapter DIR[:SCALE]]... --prompt TEXT|-",
    .summary = "continue a prompt",
    .about =
        "  lorac generate --model DIR --prompt 'Once upon a time' --temperature 0.8 --seed 7\n"
        "  lorac generate --model DIR --adapter runs/sst2/best --prompt 'a fine film'\n\n"
        "An adapter that lorac trained carries the template of its prompts: TEXT then fills the\n"
        "template's variable, so that the model reads what it was trained on. --raw turns that off.\n"
        "After training on free text (no template.prompt), TEXT is taken as it is.\n",
    .options = options,
    .run = run,
};
