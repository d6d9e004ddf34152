// Writes text with a tuirnn cell: dotnet run -- CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

/// <summary>A cell at a moment of its text.</summary>
sealed class Host : IDisposable
{
    readonly InferenceSession session;
    readonly string[] symbols; // of bytes empty: tokens are the byte values
    readonly bool bytes;
    readonly int unknown, opening;
    readonly Dictionary<string, string> stateMap;
    readonly Dictionary<string, DenseTensor<float>> state = new Dictionary<string, DenseTensor<float>>();
    readonly Decoder utf8 = Encoding.UTF8.GetDecoder();

    public Host(string path)
    {
        session = new InferenceSession(path);
        var meta = session.ModelMetadata.CustomMetadataMap;
        JsonElement vocab = JsonDocument.Parse(meta["tuirnn.vocab"]).RootElement;
        string kind = vocab.GetProperty("kind").GetString();
        if (kind != "char" && kind != "byte") throw new NotSupportedException($"this example splits no text into {kind} tokens");
        bytes = kind == "byte";
        symbols = vocab.GetProperty("symbols").EnumerateArray().Select(symbol => symbol.GetString()).ToArray();
        unknown = meta["tuirnn.unk"] == "" ? -1 : int.Parse(meta["tuirnn.unk"]);
        string first; // the opening token; older files do not have it
        opening = meta.TryGetValue("tuirnn.opening", out first) ? int.Parse(first)
            : bytes ? '\n' : Math.Max(Array.IndexOf(symbols, "\n"), 0);
        stateMap = JsonSerializer.Deserialize<Dictionary<string, string>>(meta["tuirnn.state_map"]);
        int[] shape = { int.Parse(meta["tuirnn.layers"]), 1, int.Parse(meta["tuirnn.hidden"]) };
        var begin = meta["tuirnn.state_init"] == "zeros" ? null
            : JsonSerializer.Deserialize<Dictionary<string, float[][]>>(meta["tuirnn.state_init"]); // of a primed cell
        foreach (string name in stateMap.Values)
        {
            float[] values = begin == null ? new float[shape[0] * shape[2]] : begin[name].SelectMany(row => row).ToArray();
            state[name] = new DenseTensor<float>(values, shape);
        }
    }

    /// <summary>Passes in the token that a text begins after.</summary>
    public float[] Open() => Step(opening);

    /// <summary>Passes in one token, carries the state, returns the scores of the next token.</summary>
    public float[] Step(int token)
    {
        var inputs = state.Select(each => NamedOnnxValue.CreateFromTensor(each.Key, each.Value)).ToList();
        inputs.Add(NamedOnnxValue.CreateFromTensor("token", new DenseTensor<long>(new long[] { token }, new[] { 1 })));
        using (var outputs = session.Run(inputs))
        {
            float[] logits = null;
            foreach (var output in outputs)
            {
                if (output.Name == "logits") logits = output.AsTensor<float>().ToArray();
                else if (stateMap.ContainsKey(output.Name)) state[stateMap[output.Name]] = output.AsTensor<float>().ToDenseTensor();
            }
            return logits;
        }
    }

    /// <summary>The tokens of a text: one for each code point, or for each byte of UTF-8.</summary>
    public IEnumerable<int> Encode(string text)
    {
        if (bytes) return Encoding.UTF8.GetBytes(text).Select(value => (int)value);
        var found = new List<int>();
        for (int at = 0; at < text.Length; at += char.IsSurrogatePair(text, at) ? 2 : 1)
        {
            int token = Array.IndexOf(symbols, text.Substring(at, char.IsSurrogatePair(text, at) ? 2 : 1));
            found.Add(token < 0 ? unknown : token);
        }
        return found;
    }

    /// <summary>What a token adds to the text; of bytes nothing until a character is whole.</summary>
    public string Decode(int token)
    {
        if (!bytes) return symbols[token];
        var characters = new char[4];
        int count = utf8.GetChars(new[] { (byte)token }, 0, 1, characters, 0);
        return new string(characters, 0, count);
    }

    /// <summary>Draws a token; the unknown symbol is read, never written. Temperature 0 is the likeliest.</summary>
    public int Choose(float[] logits, double temperature, Random random)
    {
        if (unknown >= 0) logits[unknown] = float.NegativeInfinity;
        float most = logits.Max();
        int best = Array.IndexOf(logits, most);
        if (!(temperature > 0)) return best;
        double[] p = logits.Select(logit => Math.Exp(((double)logit - most) / temperature)).ToArray();
        double left = random.NextDouble() * p.Sum();
        for (int token = 0; token < p.Length; token++)
            if ((left -= p[token]) < 0) return token;
        return best;
    }

    public void Dispose() => session.Dispose();
}

static class Program
{
    static int Main(string[] given)
    {
        if (given.Length < 1)
        {
            Console.Error.WriteLine("usage: dotnet run -- CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]");
            return 2;
        }
        var invariant = System.Globalization.CultureInfo.InvariantCulture;
        string prime = given.Length > 1 ? given[1] : "The ";
        int length = given.Length > 2 ? int.Parse(given[2], invariant) : 400;
        double temperature = given.Length > 3 ? double.Parse(given[3], invariant) : 0.7;
        var random = new Random(given.Length > 4 ? int.Parse(given[4], invariant) : 1);
        Console.OutputEncoding = new UTF8Encoding(false);
        using (var host = new Host(given[0]))
        {
            float[] logits = host.Open();
            foreach (int token in host.Encode(prime)) logits = host.Step(token);
            Console.Write(prime);
            for (int i = 0; i < length; i++)
            {
                int token = host.Choose(logits, temperature, random);
                Console.Write(host.Decode(token));
                logits = host.Step(token);
            }
            Console.WriteLine();
        }
        return 0;
    }
}
