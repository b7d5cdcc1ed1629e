/* cmd_prompt.c - `lorac prompt`: prompts line by line on one loaded base, whose adapters change
 * meanwhile. */
#include "tools/session.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "  /adapter DIR[:SCALE]   answer with this adapter; the base stays loaded\n"
    "  /base                  answer with the base alone\n"
    "  /quit                  end (so does the end of the input)\n"
    "Any other line is a prompt; '//' begins one with '/'.\n";

static enum lorac_status answer(struct session *s, const char *line, struct lorac_err *err)
{
    struct lorac_buf prompt = {0};
    struct lorac_ids given = {0};
    struct lorac_buf text = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    lorac_buf_str(&prompt, line);
    enum lorac_status st = prompt.no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory")
                                            : bench_prompt_of(&given, &s->b, s->a, &prompt, err);
    if (!st) { st = session_generate(&text, &finish, s, &given, err); }
    if (!st && s->as_json) {
        struct out j = {0};
        out_str(&j, "adapter", s->now);
        out_str(&j, "prompt", line);
        out_text(&j, "text", text.at ? text.at : "", text.n);
        out_str(&j, "finish", lorac_finish_name(finish));
        if (out_print(&j)) { st = lorac_fail(err, LORAC_EIO, "the answer could not be written"); }
    }
    lorac_buf_free(&prompt);
    lorac_ids_free(&given);
    lorac_buf_free(&text);
    return st;
}

/* One line: a command or a prompt. *end: asked to. */
static enum lorac_status obey(bool *end, void *self, const char *line, struct lorac_err *err)
{
    struct session *s = self;
    enum lorac_status st = LORAC_OK;
    if (line[0] != '/' || line[1] == '/') { return answer(s, line + (line[0] == '/'), err); }
    if (session_obeys(end, s, line, help, &st, err)) { return st; }
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: is no command (/adapter DIR[:SCALE], /base, /quit); a prompt that begins "
        "with '/' is written with two",
        line);
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct session s;
    bool usage = false;
    enum lorac_status st = session_open(&s, a, &usage, &err);
    if (!st && s.terminal) { fputs(help, stdout); }
    int code = st ? complain(&err) : session_lines(&s, obey, &s);
    session_close(&s);
    return usage ? EXIT_USAGE : code;
}

static const struct option options[] = {
    {"--model", "DIR", "the base model: a folder, or OWNER/NAME in the Hub's cache", true, false},
    {"--force", NULL, "take adapters of another base, or that change nothing", false, false},
    COMPUTE_OPTIONS,
    {"--raw", NULL, "prompt as typed, without the adapters' templates", false, false},
    SAMPLING_OPTIONS,
    {"--json", NULL, "print one JSON object an answer", false, false},
    {0},
};

const struct verb verb_prompt = {
    .name = "prompt",
    .usage = "--model DIR [options] < LINES",
    .summary = "prompt line by line, changing adapters on one loaded base",
    .about =
        "  lorac prompt --model DIR\n"
        "  > Once upon a time\n"
        "  > /adapter runs/sst2/best\n"
        "  > a fine film\n"
        "  > /base\n\n"
        "Each line of standard input is a prompt, or one of /adapter DIR[:SCALE], /base, /quit. "
        "The base is loaded once, adapters when they are first named. An adapter's template is "
        "filled with the line, as `lorac generate` does. On a terminal lines are edited and "
        "remembered, and Ctrl-C stops an answer only; in a script the first line that fails ends "
        "the session.\n",
    .options = options,
    .run = run,
};
