package com.amazon.nova.client;

import com.anthropic.claude.Client;
import com.google.gemma.Tokenizer;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;

/** See com.amazon.titan.Embedder, ai.meta.llama.Model and com.cohere.embed.Request3. */
final class Example {
    private static final String PACKAGE = "com.amazon.nova";
    private final Object model = com.mistral.mistral.Model.of("mistral-large");
    private final String bean = "openai.gpt";
}
