/* llama.cpp's evaluation callback as a filter: it answers "do you want this node?" by name, for every node of every
 * graph, and calls up only for the nodes wanted. ggml's types stay opaque: no struct of it is laid out here. */
#ifndef EL_LLAMA_CALLBACK_H
#define EL_LLAMA_CALLBACK_H

#include <stdbool.h>

typedef struct {
    const char *(*get_name)(const void *tensor); /* ggml_get_name of the loaded library */
    const char **names;                          /* wanted nodes, in the order in which the graph computes them */
    int n_names;
    int next;                                    /* index of the name awaited; n_names: nothing is wanted any more */
    bool (*hook)(void *owner, void *tensor, int index); /* called once a node is computed; false ends the evaluation */
    void *owner;
} el_llama_filter;

/* A ggml_backend_sched_eval_callback whose user data is an el_llama_filter. Needs no GIL unless it calls the hook. */
bool el_llama_eval(void *tensor, bool ask, void *user_data);

#endif
