/* cmd_generate.c - `lorac generate`: prompt a model, with or without adapters. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

static int print_json(const struct lorac_ids *ids, const struct lorac_buf *text,
                      enum lorac_finish finish, size_t prompt_tokens, double seconds)
{
    struct out j = {0};
    out_ids(&j, "ids", ids->at, ids->n);
    out_text(&j, "text", text->at ? text->at : "", text->n);
    out_str(&j, "finish", lorac_finish_name(finish));
    out_count(&j, "prompt_tokens", prompt_tokens);
    out_count(&j, "tokens", ids->n);
    out_real(&j, "seconds", seconds);
    return out_print(&j);
}

/* --labels: the likeliest of the adapter's labels, and nothing else. */
static enum lorac_status answer_label(struct bench *b, const struct lorac_ids *prompt, bool as_json,
                                      struct lorac_err *err)
{
    struct label_answer answer;
    double begin = lorac_clock();
    enum lorac_status st = bench_labels(&answer, b, prompt, as_json, err);
    if (!st && as_json) {
        struct out j = {0};
        const char *best = answer.labels[answer.ranked[0].k];
        out_str(&j, "text", best);
        out_real(&j, "probability", answer.ranked[0].probability);
        out_labels(&j, answer.labels, answer.ranked, answer.K);
        out_count(&j, "prompt_tokens", prompt->n);
        out_real(&j, "seconds", lorac_clock() - begin);
        if (out_print(&j)) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    } else if (!st) {
        puts(answer.labels[answer.ranked[0].k]);
    }
    label_answer_free(&answer);
    return st;
}

/* What chooses tokens has no effect where whole labels are compared. */
static enum lorac_status check_labels(const struct args *a, struct lorac_err *err)
{
    static const struct option of_tokens[] = {SAMPLING_OPTIONS};
    for (size_t i = 0; i < sizeof of_tokens / sizeof *of_tokens; i++) {
        if (!args_has(a, "--labels") || !args_has(a, of_tokens[i].name)) { continue; }
        return lorac_fail(err, LORAC_EUSER,
                          "%s has no effect with --labels, which takes the likeliest label",
                          of_tokens[i].name);
    }
    return LORAC_OK;
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
    if (!st) { st = check_labels(a, &err); }
    if (st) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    stop_on_signals();
    st = bench_open(&b, a, true, &err);
    if (!st) { st = bench_prompt(&prompt, &b, a, &err); }
    if (args_has(a, "--labels")) {
        if (!st) { st = answer_label(&b, &prompt, as_json, &err); }
        int code = st ? complain(&err) : 0;
        lorac_ids_free(&prompt);
        bench_close(&b);
        return code;
    }
    if (!st) {
        st = lorac_generator_new(&g, b.model, bench_socket(&b), prompt.n + o.max_tokens, 1, &err);
    }
    double begin = lorac_clock();
    if (!st) {
        st = lorac_generate(&ids, &text, &finish, g, b.tokenizer, prompt.at, prompt.n, &o,
                            show_generated, &as_json, &err);
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
    if (!st) { note_nothing(&b, &ids, &text, finish); }
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
    CHAT_OPTIONS,
    SAMPLING_OPTIONS,
    {"--labels", NULL, "answer with the likeliest of the adapter's labels", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_generate = {
    .name = "generate",
    .usage = "--model DIR [--adapter DIR[:SCALE]]... --prompt TEXT|-",
    .summary = "continue a prompt",
    .about =
        "  lorac generate --model DIR --prompt 'Once upon a time' --temperature 0.8\n"
        "  lorac generate --model DIR --chat --prompt 'What is the capital of Italy?'\n"
        "  lorac generate --model DIR --adapter runs/sst2/best --prompt 'a fine film'\n\n"
        "An adapter that lorac trained carries the template of its prompts: TEXT then fills the "
        "template's variable, so that the model reads what it was trained on. --raw turns that "
        "off. A model that was trained to chat brings a chat template: with --chat TEXT is what a "
        "user says. After training on free text (no template.prompt), TEXT is taken as it is. With "
        "--labels the answer is one of those that the adapter was trained to choose from.\n",
    .options = options,
    .run = run,
};
