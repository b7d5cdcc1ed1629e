/* cmd_chat.c - `lorac chat`: a conversation in the form of the model's chat template, on a terminal
 * or from a script, with adapters that change meanwhile. */
#include "tools/session.h"

#include <stdio.h>
#include <string.h>

enum { BARS = 10 };

struct chat {
    struct session s;
    struct lorac_messages m; // what was said; the system's words come first
};

static const char help[] =
    "  /adapter DIR[:SCALE]   answer with this adapter; the base stays loaded\n"
    "  /base                  answer with the base alone\n"
    "  /compare TEXT          the base and the adapter answer one below the other\n"
    "  /next                  bars: the tokens that the next answer may begin with\n"
    "  /system TEXT           what the system says first (alone: as it was trained)\n"
    "  /temperature T         0 takes the likeliest token, always\n"
    "  /undo                  forget the last question and its answer\n"
    "  /clear                 forget the conversation\n"
    "  /save FILE             write it as JSON, for `lorac score --chat`\n"
    "  /quit                  end (so does the end of the input)\n"
    "Ctrl-C stops an answer. Any other line is what you say; '//' begins one with '/'.\n";

static bool has_system(const struct chat *c)
{
    return c->m.n && strcmp(c->m.at[0].role, "system") == 0;
}

/* The conversation, and where the next answer begins: in the form of who answers now. */
static enum lorac_status encode(struct lorac_ids *ids, const struct chat *c, struct lorac_err *err)
{
    struct form form = {0};
    enum lorac_status st = bench_form(&form, &c->s.b, err);
    if (!st) { st = form_encode(ids, &form, &c->m, true, err); }
    form_close(&form);
    return st;
}

static enum lorac_status print_json(const struct session *s, const char *line,
                                    const struct lorac_buf *text, enum lorac_finish finish,
                                    struct lorac_err *err)
{
    struct out j = {0};
    out_str(&j, "adapter", s->now);
    out_str(&j, "user", line);
    out_text(&j, "text", text->at ? text->at : "", text->n);
    out_str(&j, "finish", lorac_finish_name(finish));
    return out_print(&j) ? lorac_fail(err, LORAC_EIO, "the answer could not be written") : LORAC_OK;
}

/* The answer to what was said last. */
static enum lorac_status reply(struct lorac_buf *text, struct chat *c, const char *line,
                               struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    enum lorac_status st = encode(&ids, c, err);
    if (!st) { st = session_generate(text, &finish, &c->s, &ids, err); }
    if (st == LORAC_EUSER) { lorac_err_add(err, " (/undo or /clear make room)"); }
    if (!st && c->s.as_json) { st = print_json(&c->s, line, text, finish, err); }
    if (!st && finish == LORAC_FINISH_LENGTH && !c->s.as_json) {
        fprintf(stderr, "note: cut at %zu tokens (--max-tokens)\n", c->s.o.max_tokens);
    }
    lorac_ids_free(&ids);
    return st;
}

/* Say something; what is answered becomes a part of the conversation, as far as it came. */
static enum lorac_status say(struct chat *c, const char *line, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_messages_add(&c->m, "user", line, strlen(line), err);
    if (st) { return st; }
    st = reply(&text, c, line, err);
    if (!st && text.n) { st = lorac_messages_add(&c->m, "assistant", text.at, text.n, err); }
    if (st || !text.n) { lorac_messages_drop(&c->m); } // the question that has no answer
    lorac_buf_free(&text);
    return st;
}

/* The base's answer, then the adapter's, which is the one that stays. */
static enum lorac_status compare(struct chat *c, const char *line, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    const char *adapter = c->s.now;
    if (c->s.b.stack.n == 0) {
        return lorac_fail(err, LORAC_EUSER, "/compare: name an adapter first: /adapter DIR");
    }
    if (!*line) { return lorac_fail(err, LORAC_EUSER, "/compare TEXT: what is to be answered?"); }
    enum lorac_status st = lorac_messages_add(&c->m, "user", line, strlen(line), err);
    if (st) { return st; }
    st = session_use(&c->s, NULL, true, err);
    if (!st && !c->s.as_json) { puts("[the base]"); }
    if (!st) { st = reply(&text, c, line, err); }
    lorac_messages_drop(&c->m);
    lorac_buf_free(&text);
    struct lorac_err late = {0};
    enum lorac_status back = session_use(&c->s, adapter, true, st ? &late : err);
    if (st || back || stop_asked()) { return st ? st : back; }
    if (!c->s.as_json) { printf("[%s]\n", adapter); }
    return say(c, line, err);
}

static enum lorac_status bars(struct chat *c, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    if (c->m.n == 0) { return lorac_fail(err, LORAC_EUSER, "/next: say something first"); }
    enum lorac_status st = encode(&ids, c, err);
    if (!st) { (void)show_next(&c->s.b, &ids, BARS, c->s.utf8, c->s.as_json); }
    lorac_ids_free(&ids);
    return st;
}

/* A conversation has one message of the system, in front. */
static enum lorac_status set_system(struct chat *c, const char *text, struct lorac_err *err)
{
    struct lorac_messages next = {0};
    enum lorac_status st = LORAC_OK;
    if (*text) { st = lorac_messages_add(&next, "system", text, strlen(text), err); }
    for (size_t i = has_system(c); i < c->m.n && !st; i++) {
        const struct lorac_message *m = &c->m.at[i];
        st = lorac_messages_add(&next, m->role, m->content, strlen(m->content), err);
    }
    if (st) {
        lorac_messages_free(&next);
        return st;
    }
    lorac_messages_free(&c->m);
    c->m = next;
    return LORAC_OK;
}

static enum lorac_status undo(struct chat *c, struct lorac_err *err)
{
    size_t first = has_system(c);
    if (c->m.n <= first) { return lorac_fail(err, LORAC_EUSER, "/undo: nothing was said yet"); }
    while (c->m.n > first) {
        bool question = strcmp(c->m.at[c->m.n - 1].role, "user") == 0;
        lorac_messages_drop(&c->m);
        if (question) { break; }
    }
    if (!c->s.as_json) { printf("[%zu messages left]\n", c->m.n - first); }
    return LORAC_OK;
}

static enum lorac_status save(const struct chat *c, const char *path, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    if (!*path) { return lorac_fail(err, LORAC_EUSER, "/save FILE: where to?"); }
    if (lorac_path_exists(path)) {
        return lorac_fail(err, LORAC_EUSER, "/save %s: is there already", path);
    }
    lorac_buf_str(&b, "[");
    for (size_t i = 0; i < c->m.n; i++) {
        lorac_buf_printf(&b, "%s\n {\"role\": \"%s\", \"content\": ", i ? "," : "",
                         c->m.at[i].role);
        lorac_buf_json(&b, c->m.at[i].content, strlen(c->m.at[i].content));
        lorac_buf_str(&b, "}");
    }
    lorac_buf_str(&b, "\n]\n");
    enum lorac_status st = b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory")
                                       : lorac_file_write(path, b.at, b.n, err);
    lorac_buf_free(&b);
    if (!st && !c->s.as_json) { printf("[%zu messages in %s]\n", c->m.n, path); }
    return st;
}

static enum lorac_status set_temperature(struct chat *c, const char *text, struct lorac_err *err)
{
    double t = 0.0;
    char more = ' ';
    if (sscanf(text, "%lf %c", &t, &more) != 1 || !(t >= 0.0 && t <= 100.0)) {
        return lorac_fail(err, LORAC_EUSER, "/temperature %s: expected a number from 0 to 100",
                          text);
    }
    c->s.o.temperature = t;
    return LORAC_OK;
}

static enum lorac_status obey(bool *end, void *self, const char *line, struct lorac_err *err)
{
    struct chat *c = self;
    const char *rest = NULL;
    enum lorac_status st = LORAC_OK;
    if (line[0] != '/' || line[1] == '/') { return say(c, line + (line[0] == '/'), err); }
    if (session_obeys(end, &c->s, line, help, &st, err)) { return st; }
    if (session_is(line, "/compare", &rest)) { return compare(c, rest, err); }
    if (session_is(line, "/next", &rest)) { return bars(c, err); }
    if (session_is(line, "/system", &rest)) { return set_system(c, rest, err); }
    if (session_is(line, "/temperature", &rest)) { return set_temperature(c, rest, err); }
    if (session_is(line, "/undo", &rest)) { return undo(c, err); }
    if (session_is(line, "/save", &rest)) { return save(c, rest, err); }
    if (session_is(line, "/clear", &rest)) {
        while (c->m.n > (size_t)has_system(c)) {
            lorac_messages_drop(&c->m);
        }
        return LORAC_OK;
    }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: is no command (/help lists them); what you say begins with two '/' for "
                      "one",
                      line);
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct chat c = {0};
    struct form form = {0}; // is there any?
    bool usage = false;
    enum lorac_status st = session_open(&c.s, a, &usage, &err);
    c.s.b.chat = true;
    if (!st && args_has(a, "--adapter")) {
        st = session_use(&c.s, args_text(a, "--adapter", ""), true, &err);
    }
    if (!st) { st = bench_form(&form, &c.s.b, &err); }
    form_close(&form);
    if (!st) { st = set_system(&c, args_text(a, "--system", ""), &err); }
    if (!st && c.s.terminal) { fputs(help, stdout); }
    int code = st ? complain(&err) : session_lines(&c.s, obey, &c);
    lorac_messages_free(&c.m);
    session_close(&c.s);
    return usage ? EXIT_USAGE : code;
}

static const struct option options[] = {
    {"--model", "DIR", "the base model: a folder, or OWNER/NAME in the Hub's cache", true, false},
    {"--adapter", "DIR[:SCALE]", "a PEFT adapter on it to begin with", false, false},
    {"--force", NULL, "take adapters of another base, or that change nothing", false, false},
    COMPUTE_OPTIONS,
    {"--system", "TEXT", "what the system says first", false, false},
    SAMPLING_OPTIONS,
    {"--json", NULL, "print one JSON object an answer", false, false},
    {0},
};

const struct verb verb_chat = {
    .name = "chat",
    .usage = "--model DIR [--adapter DIR] [options]",
    .summary = "talk to a chat model, with and without adapters",
    .about =
        "  lorac chat --model DIR\n"
        "  lorac chat --model DIR --adapter runs/mine/best --system 'Answer in one sentence.'\n\n"
        "Each line is what you say, or a command: /help lists them. The model's chat template "
        "writes the conversation; special tokens in what you type are text. On a terminal lines "
        "are edited and remembered, and Ctrl-C stops an answer only; in a script the first line "
        "that fails ends the session.\n",
    .options = options,
    .run = run,
};
