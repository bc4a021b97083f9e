// What a config.json says of a model that replays do not time: for a report's warnings, so that nobody takes the answer for
// more than it is.

export interface UnmodelledFields {
  readonly model_type: string;
  readonly num_hidden_layers: number;
  readonly max_position_embeddings: number;
  readonly sliding_window?: number | null | undefined;
  readonly use_sliding_window?: boolean | null | undefined;
  readonly layer_types?: readonly string[] | null | undefined;
  readonly attention_chunk_size?: number | null | undefined;
  readonly index_topk?: number | null | undefined;
}

export function unmodelled(config: UnmodelledFields, isKnown: boolean): string[] {
  const notes: string[] = [];
  if (!isKnown) {
    notes.push(`model_type ${config.model_type} is unknown here: read as a decoder like Llama`);
  }
  const window = narrowWindow(config);
  if (window !== undefined) {
    const { layer_types: kinds } = config;
    const windowed = kinds?.filter((kind) => kind !== "full_attention").length;
    const where = windowed === undefined ? "" : ` of ${windowed} of ${config.num_hidden_layers} layers`;
    notes.push(
      `the attention window of ${window.toLocaleString("en-US")} tokens${where} is not modelled: all layers attend to and keep everything, more than this model needs`,
    );
  }
  if (config.index_topk != null) {
    notes.push("sparse attention is not modelled: every token attends to everything, more than this model needs");
  }
  return notes;
}

/** Tokens that layers with a window look back; undefined where none has one that is narrower than the context. */
function narrowWindow(config: UnmodelledFields): number | undefined {
  const { sliding_window, use_sliding_window, attention_chunk_size, max_position_embeddings, layer_types } = config;
  if (layer_types?.every((kind) => kind === "full_attention") === true) return undefined;
  const window = use_sliding_window === false ? attention_chunk_size : (sliding_window ?? attention_chunk_size);
  return window != null && window < max_position_embeddings ? window : undefined;
}
