#include "llama_callback.h"

#include <string.h>

bool el_llama_eval(void *tensor, bool ask, void *user_data) {
    el_llama_filter *f = user_data;
    if (ask) {
        return f->next < f->n_names && strcmp(f->get_name(tensor), f->names[f->next]) == 0;
    }
    /* ggml asks for the result of a node only after this function wanted it: the node is names[next]. */
    bool go_on = f->hook(f->owner, tensor, f->next);
    f->next = go_on ? f->next + 1 : f->n_names;
    return go_on;
}
