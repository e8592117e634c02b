import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import millrace.v1.History.ReadSamplesRequest;
import millrace.v1.History.Selection;
import millrace.v1.HistoryServiceGrpc;

public class History {
    public static void main(String[] arguments) {
        var channel = Grpc.newChannelBuilder(System.getenv("MILLRACE_GRPC"), InsecureChannelCredentials.create()).build();
        var start = (System.currentTimeMillis() - 3_600_000) * 1000;
        var tags = Selection.newBuilder().addPrefixes("acme/north/forming/line-1/blanking/press-01").setStartUs(start);
        var request = ReadSamplesRequest.newBuilder().setSelection(tags).build();
        HistoryServiceGrpc.newBlockingStub(channel).readSamples(request)
            .forEachRemaining(chunk -> System.out.println(chunk.getPath() + " " + chunk.getValue().size() / 8 + " samples"));
        channel.shutdownNow();
    }
}
