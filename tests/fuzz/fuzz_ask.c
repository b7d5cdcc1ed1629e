/* fuzz_ask.c - any bytes as the body of a request; the first says to which path. What is promised:
 * it is taken, or refused with a status, a reason and JSON that says so; what is taken is within
 * the engine's limits; and nobody holds an adapter afterwards. */
#include "tests/support/tiny.h"
#include "tools/serve/server.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[] = {"/v1/completions",
                                    "/v1/chat/completions",
                                    "/v1/load_lora_adapter",
                                    "/v1/unload_lora_adapter",
                                    "/tokenize",
                                    "/detokenize",
                                    "/classify"};
static struct lorac_device dev;
static struct lorac_model *model;
static struct lorac_tokenizer *tokenizer;
static struct service service;
static struct server server = {.s = &service};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool good, const char *what)
{
    if (good) { return; }
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

static void end(void)
{
    engine_free(service.engine);
    adapters_close(&service.adapters);
    form_close(&service.talk.form);
    lorac_tokenizer_free(tokenizer);
    lorac_model_close(model);
    lorac_device_close(&dev);
    (void)tiny_remove(NULL);
}

static void save_adapter(void)
{
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {.rank = 1, .alpha = 1.0};
    expect(!lorac_adapter_new(&a, model, &o, NULL), "an adapter");
    expect(!lorac_dir_make(tiny_path("root"), NULL), "a folder");
    expect(!lorac_peft_save(tiny_path("root/one"), a, "model", LORAC_F32, NULL), "saved");
    lorac_adapter_free(a);
}

static void begin(void)
{
    const struct engine_options o = {.cache_bytes = 1 << 20, .max_running = 2, .max_waiting = 8};
    lorac_mem_serve_json();
    (void)tiny_model(NULL);
    tiny_text("model/chat_template.jinja",
              "{% for m in messages %}{{ '<s>' + m.role[0] + ':' + m.content }}{% endfor %}");
    expect(!lorac_device_open(&dev, NULL, 1, NULL), "a device");
    expect(!lorac_model_open(&model, &dev, tiny_path("model"), LORAC_FLOAT32, NULL), "a model");
    expect(!lorac_tokenizer_open(&tokenizer, tiny_path("model"), NULL), "a tokenizer");
    save_adapter();
    service = (struct service){.model = model, .tokenizer = tokenizer, .name = "base"};
    expect(!talk_open(&service.talk, model, tokenizer, NULL, NULL), "chats");
    adapters_open(&service.adapters, model, tokenizer, 4, true);
    expect(!adapters_set_root(&service.adapters, tiny_path("root"), NULL), "a root");
    expect(!engine_open(&service.engine, model, tokenizer, &service.adapters, &o, NULL),
           "an engine");
    (void)atexit(end);
}

static void drop(void *self, struct resident *r)
{
    (void)self;
    (void)r;
}

/* As it was before, for the next bytes. */
static void unload_all(void)
{
    struct fault f = {0};
    struct adapters *a = &service.adapters;
    while (a->names) {
        char name[ADAPTERS_MAX_NAME + 1];
        memcpy(name, a->names->name, sizeof name);
        expect(adapters_unload(a, name, &f), "unloaded");
    }
    adapters_sweep(a, drop, NULL);
    expect(a->n_residents == 0, "nobody holds an adapter");
}

static void expect_json(const struct lorac_buf *b)
{
    void *value = NULL;
    expect(!b->no_memory && !lorac_json_read(&value, b->at, b->n, "it", NULL), "JSON");
    json_decref(value);
}

static void expect_taken(const struct ask *a)
{
    expect(a->call.n >= 1 && a->call.n <= ASK_MOST_CHOICES, "a few choices");
    for (size_t i = 0; i < a->call.n; i++) {
        const struct choice *c = &a->call.choice[i];
        expect(c->n_prompt >= 1 && c->n_prompt == c->seen.n, "a prompt");
        expect(c->n_prompt + c->o.max_tokens <= engine_length(service.engine), "that fits");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    const char *allow = NULL;
    struct fault f = {0};
    struct exchange x = {.of = &server, .type = "application/json"};
    struct lorac_buf said = {0};
    if (!begun) { begin(); }
    begun = true;
    if (size == 0) { return 0; }
    expect(adapters_load_below(&service.adapters, "here", "one", false, &f), "an adapter is there");
    const struct route *route =
        route_find(&allow, "POST", paths[data[0] % (sizeof paths / sizeof *paths)], &f);
    lorac_buf_add(&x.body, data + 1, size - 1);
    if (!route->run(&x, &f)) {
        expect(f.status >= 400 && f.status < 600 && f.text[0], "a reason");
        fault_write(&said, &f);
        expect_json(&said);
        lorac_buf_free(&said);
    } else if (x.ask) {
        expect_taken(x.ask);
    } else if (strcmp(x.type, "application/json") == 0) {
        expect_json(&x.out);
    }
    ask_leave(x.ask);
    lorac_buf_free(&x.out);
    lorac_buf_free(&x.body);
    unload_all();
    return 0;
}
