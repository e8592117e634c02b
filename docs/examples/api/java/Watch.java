import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import millrace.v1.State;
import millrace.v1.StateServiceGrpc;

public class Watch {
    public static void main(String[] arguments) {
        var channel = Grpc.newChannelBuilder(System.getenv("MILLRACE_GRPC"), InsecureChannelCredentials.create()).build();
        var request = State.WatchTagsRequest.newBuilder().addPrefixes("acme/north").build();
        var updates = StateServiceGrpc.newBlockingStub(channel).watchTags(request);
        for (int count = 0; count < 3; count++) System.out.println(updates.next());
        channel.shutdownNow();
    }
}
