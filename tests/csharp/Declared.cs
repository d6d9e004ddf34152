// What the C# example calls of ONNX Runtime and System.Text.Json, declared so that a compiler without them can check it.
using System;
using System.Collections;
using System.Collections.Generic;

namespace Microsoft.ML.OnnxRuntime
{
    using Tensors;

    public class ModelMetadata { public Dictionary<string, string> CustomMetadataMap { get { return null; } } }

    public class NamedOnnxValue
    {
        public string Name { get { return null; } }
        public Tensor<T> AsTensor<T>() { return null; }
        public static NamedOnnxValue CreateFromTensor<T>(string name, Tensor<T> value) { return null; }
    }

    public class DisposableNamedOnnxValue : NamedOnnxValue, IDisposable { public void Dispose() { } }

    public interface IDisposableReadOnlyCollection<T> : IReadOnlyCollection<T>, IDisposable { }

    public class InferenceSession : IDisposable
    {
        public InferenceSession(string path) { }
        public ModelMetadata ModelMetadata { get { return null; } }
        public IDisposableReadOnlyCollection<DisposableNamedOnnxValue> Run(IReadOnlyCollection<NamedOnnxValue> inputs) { return null; }
        public void Dispose() { }
    }
}

namespace Microsoft.ML.OnnxRuntime.Tensors
{
    public abstract class Tensor<T> : IEnumerable<T>
    {
        public IEnumerator<T> GetEnumerator() { return null; }
        IEnumerator IEnumerable.GetEnumerator() { return null; }
        public virtual DenseTensor<T> ToDenseTensor() { return null; }
    }

    public class DenseTensor<T> : Tensor<T> { public DenseTensor(Memory<T> values, ReadOnlySpan<int> dimensions) { } }
}

namespace System.Text.Json
{
    public struct JsonElement
    {
        public JsonElement GetProperty(string name) { return this; }
        public string GetString() { return null; }
        public IEnumerable<JsonElement> EnumerateArray() { return null; }
    }

    public class JsonDocument { public static JsonDocument Parse(string json) { return null; } public JsonElement RootElement { get { return default(JsonElement); } } }

    public static class JsonSerializer { public static T Deserialize<T>(string json) { return default(T); } }
}
